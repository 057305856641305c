import { describe, expect, it } from 'vitest';
import { dequantize, matmul } from '../../../src/kernels/index.ts';
import { Random } from '../../../src/random.ts';
import { curvature } from '../../../src/stages/quantize/methods/curvature.ts';
import { gptq } from '../../../src/stages/quantize/methods/gptq.ts';
import type { Rounded, RoundingProblem } from '../../../src/stages/quantize/methods/method.ts';
import { qronos } from '../../../src/stages/quantize/methods/qronos.ts';

const [rows, columns, samples] = [24, 32, 200];

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

interface Scene {
  readonly problem: RoundingProblem;
  readonly original: Float64Array;
  readonly present: Float64Array;
  readonly b: Float64Array;
}

/** A weight whose inputs have drifted: the present ones are the original ones with noise. */
const makeScene = async (seed: number, drift: number): Promise<Scene> => {
  const random = new Random(seed, 'rounding');
  const original = activations(random);
  const present = original.map((value) => value + drift * random.normal());
  const g = Float64Array.from(random.normals(3 * rows * rows));
  const b = await matmul({ a: g, rows, inner: 3 * rows, b: g, columns: rows, transposeA: true });
  return {
    original,
    present,
    b,
    problem: {
      weight: random.normals(rows * columns),
      rows,
      columns,
      scheme: { bits: 3, groupSize: 16, grid: 'asymmetric', clip: 'none' },
      groupSize: 16,
      gram: await moment(present, present),
      cross: await moment(original, present),
      outputMoment: b,
      scaleType: 'float32',
      settings: { damp: 0.01, actOrder: true },
      signal: new AbortController().signal,
    },
  };
};

/** tr(B D Dᵀ) / samples of D = W X_originalᵀ - Q X_presentᵀ, the loss from its definition. */
const loss = async (
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

describe('rounding towards the unquantized model', () => {
  it('loses less than GPTQ where inputs have drifted, over seeds', async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const scene = await makeScene(seed, 0.5);
      const [plain, repaired] = [await gptq.round(scene.problem), await qronos.round(scene.problem)];
      expect(await loss(scene, repaired, 'I')).toBeLessThan(await loss(scene, plain, 'I'));
    }
  });

  it('aims at the weight itself where inputs are as they were', async () => {
    const { problem } = await makeScene(6, 0);
    const goal = await qronos.goal!(problem);
    goal.forEach((value, index) => {
      expect(value).toBeCloseTo(problem.weight[index]!, 5);
    });
  });

  it('keeps the grids of the original weight', async () => {
    const { problem } = await makeScene(7, 0.5);
    const [plain, repaired] = [await gptq.round(problem), await qronos.round(problem)];
    expect(repaired.scales).toEqual(plain.scales);
    expect(repaired.zeroPoints).toEqual(plain.zeroPoints);
  });
});

describe('descent in the curvature', () => {
  it('lowers the loss that the curvature predicts, over seeds', async () => {
    for (let seed = 11; seed <= 15; seed++) {
      const scene = await makeScene(seed, 0.5);
      const start = await curvature.round(scene.problem);
      const refined = await curvature.refine!(scene.problem, start);
      expect(await loss(scene, refined, 'B')).toBeLessThan(await loss(scene, start, 'B'));
    }
  });

  it('lowers the error of the output where no gradients are known', async () => {
    const scene = await makeScene(21, 0.5);
    const problem = { ...scene.problem, outputMoment: undefined };
    const start = await curvature.round(problem);
    const refined = await curvature.refine!(problem, start);
    expect(await loss(scene, refined, 'I')).toBeLessThan(await loss(scene, start, 'I'));
  });
});
