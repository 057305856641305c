import { Random } from '../../src/random.ts';

/** (rows, columns) samples whose columns are correlated, as activations are. */
export const correlatedSamples = (rows: number, columns: number, seed: number): Float32Array => {
  const random = new Random(seed, 'correlated samples');
  const samples = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const common = random.normal();
    for (let column = 0; column < columns; column++)
      samples[row * columns + column] = random.normal() * (1 + (column % 5)) + 0.8 * common;
  }
  return samples;
};

/** XᵀX + ridge · rows · I (columns, columns) in double precision: the plain twin of the accumulator. */
export const plainGram = (samples: Float32Array, columns: number, ridge = 0): Float64Array => {
  const gram = new Float64Array(columns * columns);
  const rows = samples.length / columns;
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < columns; i++)
      for (let j = 0; j < columns; j++)
        gram[i * columns + j]! += samples[row * columns + i]! * samples[row * columns + j]!;
  for (let i = 0; i < columns; i++) gram[i * columns + i]! += ridge * rows;
  return gram;
};

/** The greatest absolute difference of two arrays of one length. */
export const greatestDifference = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let greatest = a.length === b.length ? 0 : Number.POSITIVE_INFINITY;
  for (let index = 0; index < a.length; index++) greatest = Math.max(greatest, Math.abs(a[index]! - b[index]!));
  return greatest;
};

/** tr(E H Eᵀ) of the difference of two matrices (rows, columns). */
export const outputError = (
  weight: Float32Array,
  rounded: Float32Array,
  hessian: Float64Array,
  columns: number,
): number => {
  let total = 0;
  for (let begin = 0; begin < weight.length; begin += columns)
    for (let i = 0; i < columns; i++) {
      let sum = 0;
      for (let j = 0; j < columns; j++) sum += hessian[i * columns + j]! * (weight[begin + j]! - rounded[begin + j]!);
      total += (weight[begin + i]! - rounded[begin + i]!) * sum;
    }
  return total;
};
