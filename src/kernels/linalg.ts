import { addon } from './addon.ts';
import { expectInteger, expectLength } from './expect.ts';
import { runJob } from './job.ts';

/** Long factorisations cannot be stopped half way: the signal keeps one from beginning. */
export interface LinearAlgebraOptions {
  readonly signal?: AbortSignal | undefined;
}

/** A product op(A) · op(B); a transposed factor is stored as the transpose of what is multiplied. */
export interface ProductInput<Matrix> extends LinearAlgebraOptions {
  readonly a: Matrix;
  /** Rows of op(A), which are those of the result. */
  readonly rows: number;
  /** Columns of op(A) and rows of op(B). */
  readonly inner: number;
  readonly b: Matrix;
  /** Columns of op(B), which are those of the result. */
  readonly columns: number;
  readonly transposeA?: boolean | undefined;
  readonly transposeB?: boolean | undefined;
}

const expectOrder = (n: number, matrix: Float64Array): void => {
  expectInteger('the order of the matrix', n, 1, 2 ** 31 - 1);
  expectLength('the matrix', matrix, n * n);
};

/** op(A) · op(B), (rows, columns), in the precision of the factors. */
export function matmul(input: ProductInput<Float32Array>): Promise<Float32Array<ArrayBuffer>>;
export function matmul(input: ProductInput<Float64Array>): Promise<Float64Array<ArrayBuffer>>;
export async function matmul(
  input: ProductInput<Float32Array> | ProductInput<Float64Array>,
): Promise<Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>> {
  const { a, b, rows, inner, columns, transposeA = false, transposeB = false } = input;
  for (const size of [rows, inner, columns]) expectInteger('a size of the product', size, 0, 2 ** 32 - 1);
  expectLength('the left factor', a, rows * inner);
  expectLength('the right factor', b, inner * columns);
  const layout = { rows, inner, columns, transposeA, transposeB };
  return a instanceof Float32Array
    ? runJob(input, () => addon().matmulF32(a, b as Float32Array, layout))
    : runJob(input, () => addon().matmulF64(a, b as Float64Array, layout));
}

/** Up to this many rows and columns, products that allow either precision are taken in double. */
export const exactSize = 512;

/** A matrix in either precision. */
export type Floats = Float32Array | Float64Array;

/** In single or double precision, copied where it is not. */
export const inSingle = (matrix: Floats): Float32Array =>
  matrix instanceof Float32Array ? matrix : new Float32Array(matrix);
export const inDouble = (matrix: Floats): Float64Array =>
  matrix instanceof Float64Array ? matrix : new Float64Array(matrix);

/** op(A) · op(B), (rows, columns): in double precision for matrices up to `exactSize`, in single for larger ones, twice as fast. */
export const matmulBySize = async (input: ProductInput<Floats>): Promise<Floats> => {
  const { a, b, rows, inner, columns } = input;
  return Math.max(rows, inner, columns) <= exactSize
    ? matmul({ ...input, a: inDouble(a), b: inDouble(b) })
    : matmul({ ...input, a: inSingle(a), b: inSingle(b) });
};

/**
 * L (n, n), row-major with zeros above the diagonal: A = L Lᵀ. Only one triangle of the symmetric A is read.
 * @throws 'numeric' with the pivot when A is not positive definite.
 */
export const cholesky = async (
  matrix: Float64Array,
  n: number,
  options: LinearAlgebraOptions = {},
): Promise<Float64Array<ArrayBuffer>> => {
  expectOrder(n, matrix);
  return runJob(options, () => addon().cholesky(matrix, n));
};

/** A⁻¹ (n, n) of a symmetric positive definite A. Throws as `cholesky` does. */
export const choleskyInverse = async (
  matrix: Float64Array,
  n: number,
  options: LinearAlgebraOptions = {},
): Promise<Float64Array<ArrayBuffer>> => {
  expectOrder(n, matrix);
  return runJob(options, () => addon().choleskyInverse(matrix, n));
};

/** X (n, columns) with A X = B for a symmetric positive definite A (n, n). Throws as `cholesky` does. */
export const solveSymmetricPositive = async (
  matrix: Float64Array,
  n: number,
  right: Float64Array,
  columns: number,
  options: LinearAlgebraOptions = {},
): Promise<Float64Array<ArrayBuffer>> => {
  expectOrder(n, matrix);
  expectInteger('the columns of the right side', columns, 0, 2 ** 32 - 1);
  expectLength('the right side', right, n * columns);
  return runJob(options, () => addon().solveSymmetricPositive(matrix, n, right, columns));
};

export interface SymmetricEigen {
  /** (n), ascending. */
  readonly values: Float64Array<ArrayBuffer>;
  /** (n, n), row-major: column k belongs to value k. Orthonormal; signs are arbitrary but reproducible. */
  readonly vectors: Float64Array<ArrayBuffer>;
}

/** A = V diag(values) Vᵀ of a symmetric matrix. @throws 'numeric' when A is not finite. */
export const eigenSymmetric = async (
  matrix: Float64Array,
  n: number,
  options: LinearAlgebraOptions = {},
): Promise<SymmetricEigen> => {
  expectOrder(n, matrix);
  return runJob(options, () => addon().eigenSymmetric(matrix, n));
};

export interface ThinSvd {
  /** (rows, r), r = min(rows, columns); orthonormal columns. */
  readonly u: Float64Array<ArrayBuffer>;
  /** (r), descending. */
  readonly s: Float64Array<ArrayBuffer>;
  /** (r, columns); orthonormal rows. */
  readonly vt: Float64Array<ArrayBuffer>;
}

/** A = U diag(s) Vᵀ of a matrix (rows, columns). @throws 'numeric' when A is not finite. */
export const svd = async (
  matrix: Float64Array,
  rows: number,
  columns: number,
  options: LinearAlgebraOptions = {},
): Promise<ThinSvd> => {
  expectInteger('the number of rows', rows, 1, 2 ** 31 - 1);
  expectInteger('the number of columns', columns, 1, 2 ** 31 - 1);
  expectLength('the matrix', matrix, rows * columns);
  return runJob(options, () => addon().svd(matrix, rows, columns));
};
