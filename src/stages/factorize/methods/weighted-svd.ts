import { matmul, svd } from '../../../kernels/index.ts';
import type { Decomposition, FactorInput, Factors } from './method.ts';
import { type SquareRoot, squareRoot } from './square-root.ts';

/** The metrics in which a weight is decomposed: L and R of ‖L (W − W') R‖; undefined: the identity. */
export interface Metrics {
  readonly outputs: Float64Array | undefined;
  readonly inputs: Float64Array | undefined;
}

/** The root of the sum of squares, without under- or overflow on the way. */
const norm = (values: Float64Array): number => {
  const peak = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return peak === 0 ? 0 : peak * Math.sqrt(values.reduce((sum, value) => sum + (value / peak) ** 2, 0));
};

/** The same product with factors of the same size. */
const balanced = ({ left, right }: Factors): Factors => {
  const ratio = Math.sqrt(norm(right)) / Math.sqrt(norm(left));
  if (!(ratio > 0 && ratio < Number.POSITIVE_INFINITY)) return { left, right };
  return { left: left.map((value) => value * ratio), right: right.map((value) => value / ratio) };
};

/**
 * The best factors of every rank in a weighted norm: with L = outputs^½ and R = inputs^½, the singular value
 * decomposition L W R = U S Vᵀ gives left = L⁻¹ U_r S_r^½ and right = S_r^½ V_rᵀ R⁻¹ (Eckart–Young). One number moves
 * between the two, so that neither takes the size of a metric along: of weights that hardly reach the loss (B of 1e-300)
 * single precision could not hold them.
 * @throws 'numeric' when a matrix is not finite.
 */
export const weightedSvd = async (input: FactorInput, metrics: Metrics): Promise<Decomposition> => {
  const { weight, rows, columns, signal } = input;
  const rootOf = async (metric: Float64Array | undefined, order: number): Promise<SquareRoot | undefined> =>
    metric ? squareRoot(metric, order, signal) : undefined;
  const left = await rootOf(metrics.outputs, rows);
  const right = await rootOf(metrics.inputs, columns);
  let m = weight;
  if (right) m = await matmul({ a: m, rows, inner: columns, b: right.root, columns, signal });
  if (left) m = await matmul({ a: left.root, rows, inner: rows, b: m, columns, signal });
  const fullRank = Math.min(rows, columns);
  const { u, s, vt } = await svd(m, rows, columns, { signal });
  const p = left ? await matmul({ a: left.inverse, rows, inner: rows, b: u, columns: fullRank, signal }) : u;
  const q = right ? await matmul({ a: vt, rows: fullRank, inner: columns, b: right.inverse, columns, signal }) : vt;
  return {
    fullRank,
    factors: (rank) => {
      const roots = s.slice(0, rank).map(Math.sqrt);
      const factors = { left: new Float64Array(rows * rank), right: new Float64Array(rank * columns) };
      for (let row = 0; row < rows; row++)
        for (let k = 0; k < rank; k++) factors.left[row * rank + k] = p[row * fullRank + k]! * roots[k]!;
      for (let k = 0; k < rank; k++)
        for (let column = 0; column < columns; column++)
          factors.right[k * columns + column] = q[k * columns + column]! * roots[k]!;
      return balanced(factors);
    },
  };
};
