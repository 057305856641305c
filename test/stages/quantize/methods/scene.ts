import { dequantize, matmul } from '../../../../src/kernels/index.ts';
import { Random } from '../../../../src/random.ts';
import type { Rounded, RoundingProblem } from '../../../../src/stages/quantize/methods/method.ts';

export const [rows, columns, samples] = [24, 32, 200];

/** X (samples, columns) with correlated columns. */
const activations = (random: Random): Float64Array => {
  const x = new Float64Array(samples * columns);
  for (let row = 0; row < samples; row++) {
    const common = random.normal();
    for (let column = 0; column < columns; column++) x[row * columns + column] = random.normal() + 0.8 * common;
  }
  return x;
};

const moment = async (a: Float64Array, b: Float64Array): Promise<Float64Array> => {
  const product = await matmul({ a, rows: columns, inner: samples, b, columns, transposeA: true });
  return product.map((sum) => sum / samples);
};

export interface Scene {
  readonly problem: RoundingProblem;
  readonly original: Float64Array;
  readonly present: Float64Array;
  readonly b: Float64Array;
}

/** A weight whose inputs have drifted: the present ones are the original ones with noise. */
export const makeScene = async (seed: number, drift: number): Promise<Scene> => {
  const random = new Random(seed, 'rounding');
  const original = activations(random);
  const present = original.map((value) => value + drift * random.normal());
  const g = Float64Array.from(random.normals(3 * rows * rows));
  const b = await matmul({ a: g, rows, inner: 3 * rows, b: g, columns: rows, transposeA: true });
  const weight = random.normals(rows * columns);
  const cross = await moment(original, present);
  return {
    original,
    present,
    b,
    problem: {
      weight,
      rows,
      columns,
      scheme: { bits: 3, groupSize: 16, grid: 'asymmetric', clip: 'none' },
      groupSize: 16,
      gram: await moment(present, present),
      cross,
      target: await matmul({ a: Float64Array.from(weight), b: cross, rows, inner: columns, columns }),
      outputMoment: b,
      scaleType: 'float32',
      settings: { damp: 0.01, actOrder: true, magr: 0 },
      signal: new AbortController().signal,
    },
  };
};

/** tr(B D Dᵀ) / samples of D = W X_originalᵀ - Q X_presentᵀ, the loss from its definition. */
export const loss = async (
  { problem, original, present, b }: Scene,
  rounded: Rounded,
  weighted: 'B' | 'I',
): Promise<number> => {
  const q = Float64Array.from(dequantize({ ...rounded, rows, columns, groupSize: 16, bits: 3 }));
  const shape = { rows, inner: columns, columns: samples, transposeB: true } as const;
  const wanted = await matmul({ a: Float64Array.from(problem.weight), b: original, ...shape });
  const found = await matmul({ a: q, b: present, ...shape });
  const difference = wanted.map((value, index) => value - found[index]!);
  const product =
    weighted === 'I' ? difference : await matmul({ a: b, rows, inner: rows, b: difference, columns: samples });
  return product.reduce((sum, value, index) => sum + value * difference[index]!, 0) / samples;
};
