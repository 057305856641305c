import { matmul } from '../../../../kernels/index.ts';
import type { Decomposition } from '../../../factorize/methods/method.ts';
import { weightedSvd } from '../../../factorize/methods/weighted-svd.ts';

export interface ValueOutputInput {
  /** W_V of one key head: (size, columns). */
  readonly value: Float64Array;
  /** The columns of W_O of each head that reads these values, one below the other: (heads · rows, size). */
  readonly outputs: Float64Array;
  readonly size: number;
  readonly columns: number;
  /** C = E[x xᵀ] of the inputs: (columns, columns). */
  readonly inputMoment: Float64Array;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Value and output of heads that share their keys as one product (MoDeGPT, Lin et al. 2025, section 3.2, type III): the
 * singular values of W_O W_V C^½ say what each rank loses; `factors(rank)` gives the new columns of W_O (heads · rows,
 * rank) and the new W_V (rank, columns). At the full rank, which is at most `size`, the product is what it was.
 */
export const valueOutputFactors = async (input: ValueOutputInput): Promise<Decomposition> => {
  const { value, outputs, size, columns, inputMoment, signal } = input;
  const rows = outputs.length / size;
  const weight = await matmul({ a: outputs, rows, inner: size, b: value, columns, signal });
  return weightedSvd(
    { weight, rows, columns, a: inputMoment, b: undefined, signal },
    {
      outputs: undefined,
      inputs: inputMoment,
    },
  );
};
