import { transposeF32 } from '../kernels/index.ts';
import { elementCount } from './shape.ts';

/**
 * How a weight matrix (rows = outputs, columns = inputs) lies in an array.
 * 'rows-first': [rows, ...columns] (Gemm with transB, Conv, Gather).
 * 'rows-last': [columns, rows] (MatMul, Gemm).
 * 'rows-second': [a, rows, ...b], columns in the order (a, ...b) (ConvTranspose: [in, out, kernel…]).
 */
export type MatrixLayout = 'rows-first' | 'rows-second' | 'rows-last';

/** Elements behind the rows of a 'rows-second' array: the kernel of a ConvTranspose. */
const trailingCount = (shape: readonly number[]): number => elementCount(shape.slice(2));

/**
 * Swaps the first two of three axes: (a, b, c) to (b, a, c). Runs of `c` elements move as they are.
 */
const swapLeading = (x: Float32Array, a: number, b: number, c: number): Float32Array => {
  if (c === 1) return transposeF32(x, a, b);
  const y = new Float32Array(x.length);
  for (let i = 0; i < a; i++)
    for (let j = 0; j < b; j++) {
      const begin = (i * b + j) * c;
      y.set(x.subarray(begin, begin + c), (j * a + i) * c);
    }
  return y;
};

/** The matrix (rows, columns) that an array of this shape holds; the array itself where it lies that way already. */
export const matrixOfArray = (x: Float32Array, shape: readonly number[], layout: MatrixLayout): Float32Array => {
  const [a = 1, b = 1] = shape;
  if (layout === 'rows-first') return x;
  return swapLeading(x, a, b, layout === 'rows-last' ? 1 : trailingCount(shape));
};

/** The array of this shape that a matrix (rows, columns) lies in: the inverse of `matrixOfArray`. */
export const arrayOfMatrix = (matrix: Float32Array, shape: readonly number[], layout: MatrixLayout): Float32Array => {
  const [a = 1, b = 1] = shape;
  if (layout === 'rows-first') return matrix;
  return swapLeading(matrix, b, a, layout === 'rows-last' ? 1 : trailingCount(shape));
};
