import { internalError } from '../errors.ts';
import { matmul } from '../kernels/index.ts';
import { gradientMoment, inputMoment, positionsPerItem, type SiteCurvature } from './moments.ts';

/**
 * Predicted loss of quality, in nats per scored item, of changing a site's weights by `delta`: ½ · positions per item ·
 * tr(B ΔW A ΔWᵀ). Groups of a convolution are taken as independent.
 * @param delta (rows, columns) of the site's matrix
 * @returns undefined for a site that no gradient reached
 */
export const predictLoss = async (curvature: SiteCurvature, delta: Float32Array): Promise<number | undefined> => {
  const b = gradientMoment(curvature);
  if (!b) return undefined;
  const { rows, columns, inputs } = curvature;
  if (delta.length !== rows * columns)
    throw internalError(`a change of ${delta.length} weights does not belong to a site of ${rows}×${columns}`, {
      site: curvature.site,
    });
  const groups = inputs.length;
  const groupRows = rows / groups;
  let trace = 0;
  for (let group = 0; group < groups; group++) {
    const change = Float64Array.from(delta.subarray(group * groupRows * columns, (group + 1) * groupRows * columns));
    const groupB = groups === 1 ? b : diagonalBlock(b, rows, group * groupRows, groupRows);
    trace += await quadratic(groupB, change, inputMoment(curvature, group), groupRows, columns);
  }
  return 0.5 * positionsPerItem(curvature) * trace;
};

/** tr(B D A Dᵀ) for D (rows, columns). */
const quadratic = async (
  b: Float64Array,
  d: Float64Array,
  a: Float64Array,
  rows: number,
  columns: number,
): Promise<number> => {
  const da = await matmul({ a: d, rows, inner: columns, b: a, columns });
  const bda = await matmul({ a: b, rows, inner: rows, b: da, columns });
  let sum = 0;
  for (let index = 0; index < d.length; index++) sum += bda[index]! * d[index]!;
  return sum;
};

const diagonalBlock = (matrix: Float64Array, order: number, from: number, size: number): Float64Array => {
  const block = new Float64Array(size * size);
  for (let row = 0; row < size; row++)
    block.set(matrix.subarray((from + row) * order + from, (from + row) * order + from + size), row * size);
  return block;
};
