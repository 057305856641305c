import { eigenSymmetric, matmul } from '../../../kernels/index.ts';

/**
 * The orthogonal matrix Q (n, n) whose first columns span what a stream varies in most: eigenvectors of its second moment,
 * the largest first (SliceGPT, Ashkboos et al. 2024, section 3.3).
 */
export const principalRotation = async (
  moment: Float64Array,
  n: number,
  signal?: AbortSignal,
): Promise<Float64Array> => {
  const { vectors } = await eigenSymmetric(moment, n, { signal });
  const rotation = new Float64Array(n * n);
  for (let row = 0; row < n; row++)
    for (let column = 0; column < n; column++) rotation[row * n + column] = vectors[row * n + (n - 1 - column)]!;
  return rotation;
};

/** The first `width` columns of Q: (n, width). */
export const leading = (rotation: Float64Array, n: number, width: number): Float64Array => {
  const part = new Float64Array(n * width);
  for (let row = 0; row < n; row++) part.set(rotation.subarray(row * n, row * n + width), row * width);
  return part;
};

/** Aᵀ B of (n, width) matrices: how one stream's kept directions are seen by the next: (width, width). */
export const transition = (a: Float64Array, b: Float64Array, n: number, width: number): Promise<Float64Array> =>
  matmul({ a, rows: width, inner: n, b, columns: width, transposeA: true });
