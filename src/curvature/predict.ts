import { internalError } from '../errors.ts';
import { matmul } from '../kernels/index.ts';
import { gradientDiagonal, gradientMoment, inputMoment, positionsPerItem, type SiteCurvature } from './moments.ts';

/**
 * Predicted loss of quality, in nats per scored item, of changing a site's weights by `delta`: ½ · positions per item ·
 * tr(B ΔW A ΔWᵀ). Groups of a convolution are taken as independent.
 * @param delta (rows, columns) of the site's matrix
 * @returns undefined for a site that no gradient reached
 */
export const predictLoss = async (curvature: SiteCurvature, delta: Float32Array): Promise<number | undefined> =>
  (await lossPredictor(curvature))?.(delta);

/** `predictLoss` of many changes of one site, whose moments are read once; undefined for a site that no gradient reached. */
export const lossPredictor = async (
  curvature: SiteCurvature,
): Promise<((delta: Float32Array) => Promise<number>) | undefined> => {
  const { rows, columns, inputs, gradients } = curvature;
  if (!gradients) return undefined;
  const groupRows = rows / inputs.length;
  const scale = 0.5 * positionsPerItem(curvature);
  const outputs = outputMetric(curvature);
  const moments = inputs.map((_, group) => inputMoment(curvature, group));
  return async (delta) => {
    if (delta.length !== rows * columns)
      throw internalError(`a change of ${delta.length} weights does not belong to a site of ${rows}×${columns}`, {
        site: curvature.site,
      });
    let trace = 0;
    for (const [group, a] of moments.entries())
      for (const { from, count } of outputs.parts(group * groupRows, groupRows)) {
        const change = Float64Array.from(delta.subarray(from * columns, (from + count) * columns));
        const da = await matmul({ a: change, rows: count, inner: columns, b: a, columns });
        trace += await outputs.trace(change, da, from, count, columns);
      }
    return scale * trace;
  };
};

/** Rows that are taken together where B is a diagonal: they do not see each other. */
const rowsAtOnce = 1024;

/** B as far as it is known. */
interface OutputMetric {
  /** Ranges of rows that can be treated by themselves. */
  parts(from: number, count: number): { readonly from: number; readonly count: number }[];
  /** tr(B D (D A)ᵀ) over rows `from` to `from + count`, D and D A given for these. */
  trace(d: Float64Array, da: Float64Array, from: number, count: number, columns: number): Promise<number>;
}

const outputMetric = (curvature: SiteCurvature): OutputMetric => {
  const whole = gradientMoment(curvature);
  if (whole)
    return {
      parts: (from, count) => [{ from, count }],
      trace: async (d, da, from, count, columns) => {
        const a = diagonalBlock(whole, curvature.rows, from, count);
        return dot(await matmul({ a, rows: count, inner: count, b: da, columns }), d);
      },
    };
  const diagonal = gradientDiagonal(curvature)!;
  return {
    parts: (from, count) =>
      Array.from({ length: Math.ceil(count / rowsAtOnce) }, (_, part) => {
        const begin = part * rowsAtOnce;
        return { from: from + begin, count: Math.min(rowsAtOnce, count - begin) };
      }),
    trace: async (d, da, from, count, columns) => {
      let sum = 0;
      for (let row = 0; row < count; row++) {
        const range = [row * columns, (row + 1) * columns] as const;
        sum += diagonal[from + row]! * dot(d.subarray(...range), da.subarray(...range));
      }
      return sum;
    },
  };
};

const dot = (x: Float64Array, y: Float64Array): number => {
  let sum = 0;
  for (let index = 0; index < x.length; index++) sum += x[index]! * y[index]!;
  return sum;
};

const diagonalBlock = (matrix: Float64Array, order: number, from: number, size: number): Float64Array => {
  if (size === order) return matrix;
  const block = new Float64Array(size * size);
  for (let row = 0; row < size; row++)
    block.set(matrix.subarray((from + row) * order + from, (from + row) * order + from + size), row * size);
  return block;
};
