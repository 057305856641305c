import { expect, test, vi } from 'vitest';
import { WeightCosts } from '../../../src/curvature/removal/costs.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { contextFor, slice, tinyCnn, tinyPictures } from './workbench.ts';

const operationsOf = (program: Program): number => new WeightCosts(program, 'all').total.operations;

// A machine whose time is exact: a hundredth of a millisecond for a run, and one for each hundred million operations.
const timeOf = (program: Program): number => 0.01 + 1e-8 * operationsOf(program);

vi.mock('../../../src/stages/measure-model.ts', async (importOriginal) => ({
  ...(await importOriginal<typeof import('../../../src/stages/measure-model.ts')>()),
  measureLatency: (program: Program) => Promise.resolve(timeOf(program)),
}));

test('a share of the time is turned into a share of operations by timing cuts', async () => {
  const model = await tinyCnn();
  const context = contextFor(await tinyPictures(model, 'calibration'));
  const before = timeOf(model.program);
  const asked = 0.3 * (1 - 0.01 / before);
  const options = { ratio: { latency: asked }, multiple: 4, method: 'magnitude', compensation: 'none' };
  const { model: cut, findings } = await slice(model, options, context);
  const facts = findings.find(({ text }) => text.includes('ms become'))!.facts as Record<string, number>;
  expect(facts.before).toBe(before);
  expect(facts.after).toBeLessThanOrEqual((1 - asked) * before);
  // Channels go in fours, so that less asked for may do, and what goes is not far beyond.
  expect(facts.operations).toBeGreaterThan(0);
  expect(facts.operations).toBeLessThan(0.4);
  expect(facts.after).toBeGreaterThan(0.5 * before);
  expect(operationsOf(cut.program) / operationsOf(model.program)).toBeLessThanOrEqual(1 - facts.operations!);
  await expect(slice(model, { ...options, ratio: { latency: 0.9999 } }, context)).rejects.toThrow(/no cut takes/);
});
