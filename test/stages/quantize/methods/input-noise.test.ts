import { describe, expect, it } from 'vitest';
import { inputNoise } from '../../../../src/stages/quantize/methods/input-noise.ts';
import type { RoundingProblem } from '../../../../src/stages/quantize/methods/method.ts';
import { qronos } from '../../../../src/stages/quantize/methods/qronos.ts';
import { columns, makeScene, rows } from './scene.ts';

const damped = (problem: RoundingProblem, damp: number): RoundingProblem => ({
  ...problem,
  settings: { ...problem.settings, damp },
});

/** |goal - weight|². */
const distance = (goal: Float32Array, weight: Float32Array): number =>
  goal.reduce((sum, value, index) => sum + (value - weight[index]!) ** 2, 0);

describe('noise in the inputs of a rounding problem', () => {
  it('has the given share of their mean power, and leaves what it is given as it is', async () => {
    const { problem } = await makeScene(1, 0.5);
    const [gram, target] = [problem.gram!.slice(), problem.target!.slice()];
    const noise = inputNoise(damped(problem, 0.2), problem.gram!);
    const trace = (moment: Float64Array): number =>
      Array.from({ length: columns }, (_, at) => moment[at * (columns + 1)]!).reduce((sum, value) => sum + value, 0);
    expect(noise.power).toBeCloseTo((0.2 * trace(gram)) / columns, 12);
    for (const [index, value] of noise.target(target).entries())
      expect(value).toBeCloseTo(target[index]! + noise.power * problem.weight[index]!, 12);
    expect(problem.gram).toEqual(gram);
    expect(problem.target).toEqual(target);
  });

  it('leaves the least-squares weight where inputs are as they were', async () => {
    const { problem } = await makeScene(2, 0);
    const goal = await qronos.goal!(damped(problem, 0.5));
    goal.forEach((value, index) => {
      expect(value).toBeCloseTo(problem.weight[index]!, 5);
    });
  });

  it('draws the least-squares weight toward the original one, the further the more there is', async () => {
    const { problem } = await makeScene(3, 0.5);
    const far = await Promise.all(
      [0, 0.05, 0.2, 1].map(async (damp) => distance(await qronos.goal!(damped(problem, damp)), problem.weight)),
    );
    for (let index = 1; index < far.length; index++) expect(far[index]).toBeLessThan(far[index - 1]!);
  });

  it('keeps the weight of columns that are always zero, which are counted as dead', async () => {
    const { problem } = await makeScene(4, 0);
    const isDead = (index: number): boolean => index % columns === 3 || Math.floor(index / columns) === 3;
    const gram = problem.gram!.map((value, index) => (isDead(index) ? 0 : value));
    const target = problem.target!.map((value, index) => (index % columns === 3 ? 0 : value));
    const noisy = damped({ ...problem, gram, cross: gram, target }, 0.2);
    const rounded = await qronos.round(noisy);
    expect(rounded.facts).toMatchObject({ dead_columns: 1, damp: 0.2 });
    const goal = await qronos.goal!(noisy);
    for (let row = 0; row < rows; row++)
      expect(goal[row * columns + 3]).toBeCloseTo(problem.weight[row * columns + 3]!, 5);
  });
});
