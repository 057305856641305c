import { eigenSymmetric, matmul } from '../../../kernels/index.ts';

/** M^½ and M^−½ of a symmetric positive semi-definite matrix: (n, n) each. */
export interface SquareRoot {
  readonly root: Float64Array;
  readonly inverse: Float64Array;
  /** What smaller eigenvalues were raised to. */
  readonly floor: number;
}

/**
 * Eigenvalues below this share of the greatest are raised to it: moments are sums of products in single precision, and
 * directions below that would be blown up by the inverse.
 */
const floorShare = 1e-6;

/** @throws 'numeric' when the matrix is not finite. */
export const squareRoot = async (matrix: Float64Array, n: number, signal?: AbortSignal): Promise<SquareRoot> => {
  const { values, vectors } = await eigenSymmetric(matrix, n, { signal });
  const floor = Math.max(floorShare * (values.at(-1) ?? 0), Number.MIN_VALUE * 2 ** 60);
  const roots = values.map((value) => Math.sqrt(Math.max(value, floor)));
  const build = (of: (root: number) => number): Promise<Float64Array> => {
    const scaled = new Float64Array(n * n);
    for (let row = 0; row < n; row++)
      for (let k = 0; k < n; k++) scaled[row * n + k] = vectors[row * n + k]! * of(roots[k]!);
    return matmul({ a: scaled, rows: n, inner: n, b: vectors, columns: n, transposeB: true, signal });
  };
  return { root: await build((root) => root), inverse: await build((root) => 1 / root), floor };
};
