import { matmulBySize } from '../../../kernels/index.ts';
import type { RoundingProblem } from './method.ts';

/** W M (rows, columns) of a weight (rows, columns) and a moment (columns, columns) of its inputs: T = W G, or W H. */
export const momentProduct = async (
  weight: Float32Array,
  moment: Float64Array,
  { rows, columns, signal }: Pick<RoundingProblem, 'rows' | 'columns' | 'signal'>,
): Promise<Float64Array> => {
  const product = await matmulBySize({ a: weight, b: moment, rows, inner: columns, columns, signal });
  return product instanceof Float64Array ? product : new Float64Array(product);
};
