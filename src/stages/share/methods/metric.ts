import { matmul } from '../../../kernels/index.ts';
import type { SharingInput } from './method.ts';

/** tr(B D A Dᵀ) in nats: the predicted loss of changing a layer by D (rows, columns). */
export const lossOf = async (
  delta: Float64Array,
  layer: SharingInput['layers'][number],
  { rows, columns, signal }: Pick<SharingInput, 'rows' | 'columns' | 'signal'>,
): Promise<number> => {
  const { a, b, scale } = layer.moments;
  const da = await matmul({ a: delta, rows, inner: columns, b: a, columns, signal });
  const bda = b ? await matmul({ a: b, rows, inner: rows, b: da, columns, signal }) : da;
  let sum = 0;
  for (let index = 0; index < delta.length; index++) sum += bda[index]! * delta[index]!;
  return (scale === 'relative' ? 1 : scale) * Math.max(0, sum);
};

/** The mean of square matrices of one size; undefined ones are left out. */
export const meanMatrix = (matrices: readonly (Float64Array | undefined)[]): Float64Array | undefined => {
  const known = matrices.filter((matrix) => matrix !== undefined);
  const [first] = known;
  if (!first) return undefined;
  const mean = new Float64Array(first.length);
  for (const matrix of known)
    for (let index = 0; index < mean.length; index++) mean[index]! += matrix[index]! / known.length;
  return mean;
};
