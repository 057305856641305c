import { eigenSymmetric, matmul } from '../../../kernels/index.ts';
import { squareRoot } from '../../factorize/methods/square-root.ts';

/** The joint subspace of the keys or values of several layers, for every rank. */
export interface CacheSubspace {
  /** Predicted loss of keeping the first r directions, r from 0 to all, in units of tr(M C). */
  readonly losses: Float64Array;
  /**
   * Of the first r directions: z = x encoder, x̂ = z decoder.
   * encoder (width, rank), decoder (rank, width).
   */
  factors(rank: number): { readonly encoder: Float64Array; readonly decoder: Float64Array };
}

/**
 * The subspace that loses least of tr(M E[(x − x̂)(x − x̂)ᵀ]): with R = M^½ and R C R = V Λ Vᵀ, the encoder is R V_r, the
 * decoder V_rᵀ R⁻¹, and what is lost the sum of the other eigenvalues (xKV, 2503.18893, section 4, its singular value
 * decomposition of neighbouring layers, here once for all data and in a metric).
 * @param moment C = E[x xᵀ] of the layers side by side: (width, width)
 * @param metric M: (width, width)
 */
export const cacheSubspace = async (
  moment: Float64Array,
  metric: Float64Array,
  width: number,
  signal: AbortSignal,
): Promise<CacheSubspace> => {
  const { root, inverse } = await squareRoot(metric, width, signal);
  const square = { rows: width, inner: width, columns: width, signal };
  const turned = await matmul({
    ...square,
    a: await matmul({ ...square, a: root, b: moment }),
    b: root,
  });
  const { values, vectors } = await eigenSymmetric(turned, width, { signal });
  const losses = new Float64Array(width + 1);
  for (let rank = width - 1; rank >= 0; rank--)
    losses[rank] = losses[rank + 1]! + Math.max(0, values[width - 1 - rank]!);
  const encode = await matmul({ ...square, a: root, b: vectors });
  const decode = await matmul({ ...square, a: vectors, b: inverse, transposeA: true });
  return {
    losses,
    factors: (rank) => {
      const encoder = new Float64Array(width * rank);
      const decoder = new Float64Array(rank * width);
      for (let k = 0; k < rank; k++) {
        const from = width - 1 - k;
        for (let i = 0; i < width; i++) encoder[i * rank + k] = encode[i * width + from]!;
        decoder.set(decode.subarray(from * width, (from + 1) * width), k * width);
      }
      return { encoder, decoder };
    },
  };
};
