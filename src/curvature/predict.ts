import { internalError } from '../errors.ts';
import { matmulBySize } from '../kernels/index.ts';
import { gradientDiagonal, gradientMoment, inputMoment, lossScale, type SiteCurvature } from './moments.ts';

/** What a change ΔW of a site's weights does, in means over positions; losses in nats per scored item. */
export interface ChangeMeasures {
  /** E|ΔW x|² = tr(ΔW A ΔWᵀ). */
  readonly outputError: number;
  /** lossScale · Σ_i B_ii (ΔW A ΔWᵀ)_ii: outputs taken as independent. Undefined where no gradient reaches. */
  readonly weightedOutputError: number | undefined;
  /** lossScale · tr(B ΔW A ΔWᵀ), the predicted loss. Undefined where no gradient reaches. */
  readonly loss: number | undefined;
}

/** Measures changes (rows, columns) of one site. */
export type ChangeMeter = (delta: Float32Array) => Promise<ChangeMeasures>;

/**
 * Predicted loss of quality, in nats per scored item, of changing a site's weights by `delta`: lossScale ·
 * tr(B ΔW A ΔWᵀ). Groups of a convolution are taken as independent.
 * @param delta (rows, columns) of the site's matrix
 * @returns undefined for a site that no gradient reached
 */
export const predictLoss = async (curvature: SiteCurvature, delta: Float32Array): Promise<number | undefined> =>
  (await changeMeter(curvature)(delta)).loss;

/** Reads the moments of a site once, to measure many changes of it. Groups of a convolution are taken as independent. */
export const changeMeter = (curvature: SiteCurvature): ChangeMeter => {
  const { rows, columns, inputs, gradients } = curvature;
  const groupRows = rows / inputs.length;
  const scale = lossScale(curvature);
  const diagonal = gradientDiagonal(curvature);
  const whole = gradientMoment(curvature);
  const moments = inputs.map((_, group) => inputMoment(curvature, group));
  return async (delta) => {
    if (delta.length !== rows * columns)
      throw internalError(`a change of ${delta.length} weights does not belong to a site of ${rows}×${columns}`, {
        site: curvature.site,
      });
    let [outputError, weighted, crossed] = [0, 0, 0];
    for (const [group, a] of moments.entries())
      for (const { from, count } of partsOf(group * groupRows, groupRows, whole === undefined)) {
        const d = delta.subarray(from * columns, (from + count) * columns);
        const da = await matmulBySize({ a: d, rows: count, inner: columns, b: a, columns });
        for (let row = 0; row < count; row++) {
          const error = dot(da, d, row * columns, (row + 1) * columns);
          outputError += error;
          weighted += error * (diagonal?.[from + row] ?? 0);
        }
        if (!whole) continue;
        const b = diagonalBlock(whole, rows, from, count);
        crossed += dot(await matmulBySize({ a: b, rows: count, inner: count, b: da, columns }), d, 0, d.length);
      }
    if (!gradients) return { outputError, weightedOutputError: undefined, loss: undefined };
    return { outputError, weightedOutputError: scale * weighted, loss: scale * (whole ? crossed : weighted) };
  };
};

/** Rows that are taken together where B is a diagonal: they do not see each other. */
const rowsAtOnce = 1024;

/** Ranges of rows that can be treated by themselves: all together where B is a matrix. */
const partsOf = (from: number, count: number, independent: boolean): { from: number; count: number }[] => {
  if (!independent) return [{ from, count }];
  return Array.from({ length: Math.ceil(count / rowsAtOnce) }, (_, part) => {
    const begin = part * rowsAtOnce;
    return { from: from + begin, count: Math.min(rowsAtOnce, count - begin) };
  });
};

const dot = (x: ArrayLike<number>, y: ArrayLike<number>, begin: number, end: number): number => {
  let sum = 0;
  for (let index = begin; index < end; index++) sum += x[index]! * y[index]!;
  return sum;
};

const diagonalBlock = (matrix: Float64Array, order: number, from: number, size: number): Float64Array => {
  if (size === order) return matrix;
  const block = new Float64Array(size * size);
  for (let row = 0; row < size; row++)
    block.set(matrix.subarray((from + row) * order + from, (from + row) * order + from + size), row * size);
  return block;
};
