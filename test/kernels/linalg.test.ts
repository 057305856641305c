import { describe, expect, it } from 'vitest';
import {
  cholesky,
  choleskyInverse,
  eigenSymmetric,
  exactSize,
  matmul,
  matmulBySize,
  solveSymmetricPositive,
  svd,
} from '../../src/kernels/index.ts';
import { Random } from '../../src/random.ts';
import { correlatedSamples, greatestDifference, plainGram } from './matrices.ts';

const numbers = (count: number, seed: number): Float64Array =>
  Float64Array.from(new Random(seed, 'numbers').normals(count));

const identity = (n: number): Float64Array =>
  Float64Array.from({ length: n * n }, (_, index) => (index % (n + 1) === 0 ? 1 : 0));

const n = 150;
const positive = plainGram(correlatedSamples(300, n, 1), n, 0.1).map((value) => value / 300);

describe('a matrix product', () => {
  it('sums products along the inner side, in both precisions and all four orientations', async () => {
    const [rows, inner, columns] = [4, 3, 5];
    const a = numbers(rows * inner, 1);
    const b = numbers(inner * columns, 2);
    const turn = (matrix: Float64Array, height: number, width: number): Float64Array =>
      matrix.map((_, index) => matrix[(index % height) * width + Math.floor(index / height)]!);
    const expected = Float64Array.from({ length: rows * columns }, (_, index) => {
      let sum = 0;
      for (let k = 0; k < inner; k++)
        sum += a[Math.floor(index / columns) * inner + k]! * b[k * columns + (index % columns)]!;
      return sum;
    });
    for (const transposeA of [false, true])
      for (const transposeB of [false, true]) {
        const left = transposeA ? turn(a, rows, inner) : a;
        const right = transposeB ? turn(b, inner, columns) : b;
        const layout = { rows, inner, columns, transposeA, transposeB };
        expect(greatestDifference(await matmul({ a: left, b: right, ...layout }), expected)).toBeLessThan(1e-14);
        const single = await matmul({ a: Float32Array.from(left), b: Float32Array.from(right), ...layout });
        expect(single).toBeInstanceOf(Float32Array);
        expect(greatestDifference(single, expected)).toBeLessThan(1e-5);
      }
  });

  it('is taken in double precision up to a size, in single beyond it, whatever the factors are stored in', async () => {
    for (const inner of [exactSize, exactSize + 1]) {
      const [a, b] = [numbers(2 * inner, 3), numbers(inner * 3, 4)];
      const layout = { rows: 2, inner, columns: 3 };
      const product = await matmulBySize({ a: Float32Array.from(a), b, ...layout });
      expect(product).toBeInstanceOf(inner === exactSize ? Float64Array : Float32Array);
      expect(greatestDifference(product, await matmul({ a, b, ...layout }))).toBeLessThan(1e-4);
    }
  });

  it('refuses factors that do not fit', async () => {
    const a = new Float64Array(6);
    await expect(matmul({ a, b: a, rows: 2, inner: 4, columns: 2 })).rejects.toMatchObject({ code: 'internal' });
  });
});

describe('a positive definite matrix', () => {
  it('is its factor times the transpose of it', async () => {
    const lower = await cholesky(positive, n);
    expect(lower.every((value, index) => index % n <= Math.floor(index / n) || value === 0)).toBe(true);
    const product = await matmul({ a: lower, b: lower, rows: n, inner: n, columns: n, transposeB: true });
    expect(greatestDifference(product, positive)).toBeLessThan(1e-10);
  });

  it('times its inverse is the identity, and solutions solve', async () => {
    const inverse = await choleskyInverse(positive, n);
    const product = await matmul({ a: positive, b: inverse, rows: n, inner: n, columns: n });
    expect(greatestDifference(product, identity(n))).toBeLessThan(1e-9);
    const right = numbers(n * 3, 3);
    const solution = await solveSymmetricPositive(positive, n, right, 3);
    const back = await matmul({ a: positive, b: solution, rows: n, inner: n, columns: 3 });
    expect(greatestDifference(back, right)).toBeLessThan(1e-9);
  });

  it('is not one that has a negative direction: the pivot is named', async () => {
    await expect(cholesky(Float64Array.of(1, 2, 2, 1), 2)).rejects.toMatchObject({
      code: 'numeric',
      message: expect.stringContaining('pivot 1'),
    });
    await expect(choleskyInverse(Float64Array.of(Number.NaN), 1)).rejects.toMatchObject({ code: 'numeric' });
    await expect(cholesky(new Float64Array(5), 2)).rejects.toMatchObject({ code: 'internal' });
  });
});

describe('spectral decompositions', () => {
  it('find eigenvectors that diagonalise, with ascending values', async () => {
    const { values, vectors } = await eigenSymmetric(positive, n);
    expect([...values]).toEqual([...values].sort((a, b) => a - b));
    const turned = await matmul({ a: positive, b: vectors, rows: n, inner: n, columns: n });
    const scaled = vectors.map((value, index) => value * values[index % n]!);
    expect(greatestDifference(turned, scaled)).toBeLessThan(1e-10);
  });

  it('find orthonormal factors that multiply back, with falling values', async () => {
    for (const [rows, columns] of [[40, 7] as const, [7, 40] as const]) {
      const matrix = numbers(rows * columns, 4);
      const { u, s, vt } = await svd(matrix, rows, columns);
      expect([...s]).toEqual([...s].sort((a, b) => b - a));
      const scaled = u.map((value, index) => value * s[index % 7]!);
      const back = await matmul({ a: scaled, b: vt, rows, inner: 7, columns });
      expect(greatestDifference(back, matrix)).toBeLessThan(1e-12);
      const square = await matmul({ a: u, b: u, rows: 7, inner: rows, columns: 7, transposeA: true });
      expect(greatestDifference(square, identity(7))).toBeLessThan(1e-12);
    }
  });

  it('refuse what is not finite', async () => {
    await expect(svd(Float64Array.of(1, Number.NaN), 1, 2)).rejects.toMatchObject({ code: 'numeric' });
    await expect(eigenSymmetric(Float64Array.of(Number.POSITIVE_INFINITY), 1)).rejects.toMatchObject({
      code: 'numeric',
    });
  });
});
