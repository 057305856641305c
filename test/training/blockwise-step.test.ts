import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GraphObjective } from '../../src/training/graph-objective.ts';
import { contextFor, distil, klOf, tinyLlama, tinyText } from '../stages/distill/workbench.ts';
import { openTinyObjective } from './tiny-objective.ts';

const signal = new AbortController().signal;

describe('a step whose gradients are taken block by block', () => {
  const objectives: GraphObjective[] = [];

  beforeAll(async () => {
    const scratch = { directory: tmpdir() };
    for (const blockwise of [undefined, { maxMemoryBytes: 2 ** 16, scratch, signal }])
      objectives.push((await openTinyObjective(2, { batch: 5, microBatch: 2, blockwise })).objective);
  });

  afterAll(async () => {
    for (const objective of objectives) await objective.close();
  });

  it('gives the loss and the gradients of the step as a whole, also what it spills', async () => {
    const [whole, parted] = [await objectives[0]!.gradient(1), await objectives[1]!.gradient(1)];
    expect(parted.loss).toBeCloseTo(whole.loss, 5);
    expect(parted.parts['cross-entropy']).toBeCloseTo(whole.loss / 2, 5);
    whole.gradients.forEach((gradient, index) => {
      const other = parted.gradients[index]!;
      const norm = Math.hypot(...gradient);
      expect(Math.hypot(...gradient.map((value, at) => value - other[at]!))).toBeLessThan(1e-5 * norm);
    });
  });

  it('follows the parameters from step to step', async () => {
    for (const { parameters } of objectives)
      for (let index = 0; index < parameters.length; index++) parameters.values[index]! *= 0.9;
    const [whole, parted] = [await objectives[0]!.gradient(2), await objectives[1]!.gradient(2)];
    expect(parted.loss).toBeCloseTo(whole.loss, 5);
    expect(Math.hypot(...parted.gradients[0]!)).toBeCloseTo(Math.hypot(...whole.gradients[0]!), 4);
  });
});

describe('training in little memory', () => {
  const written = { batch: 4, steps: 3, learning_rate: 0.01, hold_out: 0, losses: { 'cross-entropy': 1 } };

  it('says how much a step needs, takes gradients block by block and ends where it would otherwise', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 12);
    const wide = await distil(original, written, contextFor(original, data));
    const maxMemoryBytes = 4 * 2 ** 20;
    const tight = await distil(original, written, contextFor(original, data, { maxMemoryBytes }));
    expect(wide.findings.filter(({ text }) => text.includes('block by block'))).toHaveLength(0);
    const [found] = tight.findings.filter(({ text }) => text.includes('block by block'));
    expect(found).toMatchObject({ kind: 'fact' });
    expect(await klOf(tight.model, wide.model, data)).toBeLessThan(1e-6);
  });
});
