import { describe, expect, it } from 'vitest';
import { matmul } from '../../../../src/kernels/index.ts';
import { curvature } from '../../../../src/stages/quantize/methods/curvature.ts';
import { foem } from '../../../../src/stages/quantize/methods/foem.ts';
import { gptaq } from '../../../../src/stages/quantize/methods/gptaq.ts';
import { gptq } from '../../../../src/stages/quantize/methods/gptq.ts';
import { reduceRanges } from '../../../../src/stages/quantize/methods/magr.ts';
import { qronos } from '../../../../src/stages/quantize/methods/qronos.ts';
import { columns, loss, makeScene, rows } from './scene.ts';

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

describe('making good what inputs have lost, column by column', () => {
  it('is gptq where inputs are as they were', async () => {
    const { problem } = await makeScene(31, 0);
    const [paired, plain] = [await gptaq.round(problem), await gptq.round(problem)];
    expect(paired.codes).toEqual(plain.codes);
    expect(paired.scales).toEqual(plain.scales);
  });

  it('is gptq where how inputs were is not known', async () => {
    const { problem } = await makeScene(32, 0.5);
    const alone = { ...problem, cross: undefined, target: undefined };
    expect(await gptaq.round(alone)).toEqual(await gptq.round(alone));
  });

  it('loses less than gptq where inputs have drifted, over seeds', async () => {
    for (let seed = 33; seed < 38; seed++) {
      const scene = await makeScene(seed, 0.5);
      const [paired, plain] = [await gptaq.round(scene.problem), await gptq.round(scene.problem)];
      expect(await loss(scene, paired, 'I')).toBeLessThan(await loss(scene, plain, 'I'));
    }
  });
});

describe('the first-order term', () => {
  it('keeps integers nearer to the original weights than gptq does, over seeds', async () => {
    for (let seed = 41; seed < 46; seed++) {
      const { problem } = await makeScene(seed, 0);
      const far = async (method: typeof gptq): Promise<number> => {
        const { codes, scales, zeroPoints } = await method.round(problem);
        return problem.weight.reduce((sum, weight, index) => {
          const group = Math.floor(index / columns) * 2 + Math.floor((index % columns) / 16);
          return sum + (weight - (codes[index]! - zeroPoints![group]!) * scales[group]!) ** 2;
        }, 0);
      };
      expect(await far(foem)).toBeLessThan(await far(gptq));
    }
  });
});

it.each([gptq, gptaq, foem, qronos])('$name works where no damping is asked for', async (method) => {
  const { problem } = await makeScene(48, 0.5);
  const rounded = await method.round({ ...problem, settings: { ...problem.settings, damp: 0 } });
  expect(rounded.fallback).toBeUndefined();
  expect(rounded.facts.damp).toBeLessThan(1e-5);
});

describe('smaller ranges before rounding', () => {
  /** tr(D H Dᵀ). */
  const energy = async (d: Float32Array, gram: Float64Array): Promise<number> => {
    const product = await matmul({ a: Float64Array.from(d), b: gram, rows, inner: columns, columns });
    return d.reduce((sum, value, index) => sum + value * product[index]!, 0);
  };

  it('lower the largest weights and leave outputs nearly as they were', async () => {
    for (let seed = 51; seed < 54; seed++) {
      const { problem } = await makeScene(seed, 0);
      const { weight, gram, signal } = problem;
      const found = await reduceRanges({ weight, rows, columns, groupSize: 16, gram: gram!, share: 0.01, signal });
      const peak = (values: Float32Array): number => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const change = found.map((value, index) => value - weight[index]!);
      expect(peak(found)).toBeLessThan(peak(weight));
      expect(await energy(change, gram!)).toBeLessThan(0.005 * (await energy(weight, gram!)));
      // Each group shrinks, and none grows.
      for (let begin = 0; begin < weight.length; begin += 16)
        expect(peak(found.subarray(begin, begin + 16))).toBeLessThan(peak(weight.subarray(begin, begin + 16)) * 1.05);
    }
  });

  it('move more along directions that no input takes', async () => {
    const { problem } = await makeScene(55, 0);
    const { weight, gram, signal } = problem;
    const shared = { weight, rows, columns, groupSize: 16, share: 0.01, signal };
    const nearlyFree = gram!.map((value, index) => (index % columns < 4 || index < 4 * columns ? 1e-3 * value : value));
    const moved = async (moment: Float64Array): Promise<number> =>
      (await reduceRanges({ ...shared, gram: moment })).reduce((sum, value, index) => {
        return sum + (index % columns < 4 ? Math.abs(value - weight[index]!) : 0);
      }, 0);
    expect(await moved(nearlyFree)).toBeGreaterThan(await moved(gram!));
  });

  it('do nothing without a share', async () => {
    const { problem } = await makeScene(56, 0);
    const { weight, gram, signal } = problem;
    const found = await reduceRanges({ weight, rows, columns, groupSize: 16, gram: gram!, share: 0, signal });
    expect(found).toBe(weight);
  });
});
