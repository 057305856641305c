import { Random } from '../../../random.ts';

/**
 * An orthogonal map of vectors of n numbers that spreads every single number over all: signs, then the vector as a
 * matrix (left, right) between two orthogonal factors, x ↦ vec(L X R). Applied to the rows of a weight and to its inputs
 * it leaves products as they are (incoherence processing: QuIP, Chee et al. 2023, arXiv 2307.13304; with Hadamard
 * factors: QuaRot, Ashkboos et al. 2024, arXiv 2404.00456).
 */
export interface Rotation {
  readonly size: number;
  readonly leftSize: number;
  readonly rightSize: number;
  /** L (left, left) and R (right, right), row-major. */
  readonly left: Float32Array;
  readonly right: Float32Array;
  /** ±1 (n). */
  readonly signs: Float32Array;
}

/** The Sylvester matrix of order n, a power of two, divided by √n. */
const sylvester = (n: number): Float64Array => {
  const scale = 1 / Math.sqrt(n);
  const sign = (bits: number): number => {
    let parity = 0;
    for (let rest = bits; rest > 0; rest &= rest - 1) parity ^= 1;
    return parity ? -scale : scale;
  };
  return Float64Array.from({ length: n * n }, (_, at) => sign(Math.floor(at / n) & (at % n)));
};

/** A random orthogonal matrix of order n: normal numbers, orthonormalised row by row, twice for accuracy. */
const randomOrthogonal = (n: number, random: Random): Float64Array => {
  const matrix = new Float64Array(random.normals(n * n));
  const row = (index: number): Float64Array => matrix.subarray(index * n, (index + 1) * n);
  const dot = (x: Float64Array, y: Float64Array): number => x.reduce((sum, value, at) => sum + value * y[at]!, 0);
  for (let index = 0; index < n; index++) {
    const own = row(index);
    for (let pass = 0; pass < 2; pass++)
      for (let before = 0; before < index; before++) {
        const other = row(before);
        const share = dot(own, other);
        for (let at = 0; at < n; at++) own[at]! -= share * other[at]!;
      }
    const length = Math.sqrt(dot(own, own));
    for (let at = 0; at < n; at++) own[at]! /= length;
  }
  return matrix;
};

/** A ⊗ B of square matrices. */
const kronecker = (a: Float64Array, b: Float64Array): Float64Array => {
  const [m, n] = [Math.sqrt(a.length), Math.sqrt(b.length)];
  const order = m * n;
  const result = new Float64Array(order * order);
  for (let i = 0; i < order; i++)
    for (let j = 0; j < order; j++)
      result[i * order + j] = a[Math.floor(i / n) * m + Math.floor(j / n)]! * b[(i % n) * n + (j % n)]!;
  return result;
};

/**
 * The rotation of a size: Hadamard factors for its powers of two, a random orthogonal one for what is odd; two factors
 * of like size, so that n numbers take about 2 n √n operations.
 */
export const rotationOf = (size: number, seed: number): Rotation => {
  const random = new Random(seed, `rotation of ${size}`);
  let odd = size;
  while (odd % 2 === 0) odd /= 2;
  const power = size / odd;
  let leftSize = 1;
  while (leftSize < power && leftSize * 2 * leftSize * 2 <= size * 2) leftSize *= 2;
  const rest = sylvester(power / leftSize);
  const right = odd === 1 ? rest : kronecker(rest, randomOrthogonal(odd, random));
  const signs = Float32Array.from({ length: size }, () => (random.float() < 0.5 ? -1 : 1));
  return {
    size,
    leftSize,
    rightSize: size / leftSize,
    left: new Float32Array(sylvester(leftSize)),
    right: new Float32Array(right),
    signs,
  };
};

/** Every row of a matrix (rows, n) rotated. */
export const rotateRows = (matrix: Float32Array, rotation: Rotation): Float32Array => {
  const { size, leftSize, rightSize, left, right, signs } = rotation;
  const result = new Float32Array(matrix.length);
  const between = new Float64Array(size);
  for (let begin = 0; begin < matrix.length; begin += size) {
    between.fill(0);
    for (let i = 0; i < leftSize; i++)
      for (let k = 0; k < leftSize; k++) {
        const factor = left[i * leftSize + k]!;
        for (let j = 0; j < rightSize; j++) {
          const at = k * rightSize + j;
          between[i * rightSize + j]! += factor * signs[at]! * matrix[begin + at]!;
        }
      }
    for (let i = 0; i < leftSize; i++)
      for (let j = 0; j < rightSize; j++) {
        let sum = 0;
        for (let k = 0; k < rightSize; k++) sum += between[i * rightSize + k]! * right[k * rightSize + j]!;
        result[begin + i * rightSize + j] = sum;
      }
  }
  return result;
};
