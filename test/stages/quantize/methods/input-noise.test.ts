import { describe, expect, it } from 'vitest';
import { withInputNoise } from '../../../../src/stages/quantize/methods/input-noise.ts';
import { qronos } from '../../../../src/stages/quantize/methods/qronos.ts';
import { columns, makeScene, rows } from './scene.ts';

const damped = (problem: Awaited<ReturnType<typeof makeScene>>['problem'], damp: number) =>
  withInputNoise({ ...problem, settings: { ...problem.settings, damp } });

/** |goal - weight|². */
const distance = (goal: Float32Array, weight: Float32Array): number =>
  goal.reduce((sum, value, index) => sum + (value - weight[index]!) ** 2, 0);

describe('noise in the inputs of a rounding problem', () => {
  it('is that of inputs with independent noise of the given share of their mean power', async () => {
    const { problem } = await makeScene(1, 0.5);
    const noisy = damped(problem, 0.2);
    const trace = (moment: Float64Array): number =>
      Array.from({ length: columns }, (_, at) => moment[at * (columns + 1)]!).reduce((sum, value) => sum + value, 0);
    expect(trace(noisy.gram!)).toBeCloseTo(1.2 * trace(problem.gram!), 8);
    const noise = (0.2 * trace(problem.gram!)) / columns;
    for (const [index, value] of noisy.target!.entries())
      expect(value).toBeCloseTo(problem.target![index]! + noise * problem.weight[index]!, 9);
    for (const [index, value] of noisy.cross!.entries())
      expect(value).toBeCloseTo(problem.cross![index]! + (index % (columns + 1) === 0 ? noise : 0), 9);
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

  it('leaves columns that are always zero out, which are counted as dead', async () => {
    const { problem } = await makeScene(4, 0);
    const gram = problem.gram!.map((value, index) =>
      index % columns === 3 || (index < columns * 4 && index >= columns * 3) ? 0 : value,
    );
    const target = problem.target!.map((value, index) => (index % columns === 3 ? 0 : value));
    const noisy = damped({ ...problem, gram, cross: gram, target }, 0.2);
    expect(noisy.gram![3 * (columns + 1)]).toBe(0);
    const rounded = await qronos.round(noisy);
    expect(rounded.facts.dead_columns).toBe(1);
    expect(rounded.facts.damp).toBeCloseTo(0.2, 5);
    const goal = await qronos.goal!(noisy);
    for (let row = 0; row < rows; row++)
      expect(goal[row * columns + 3]).toBeCloseTo(problem.weight[row * columns + 3]!, 5);
  });

  it('shares what it makes between weights with the same inputs, and changes no moment that is given', async () => {
    const { problem } = await makeScene(5, 0.5);
    const before = problem.gram!.slice();
    expect(damped(problem, 0.2).gram).toBe(damped(problem, 0.2).gram);
    expect(damped(problem, 0).gram).toBe(problem.gram);
    expect(problem.gram).toEqual(before);
  });
});
