import { afterEach, describe, expect, it } from 'vitest';
import { distillStage } from '../../src/stages/distill/index.ts';
import type { GraphObjective } from '../../src/training/graph-objective.ts';
import type { Precision } from '../../src/training/step-program.ts';
import { openTinyObjective } from './tiny-objective.ts';

const opened: GraphObjective[] = [];

afterEach(async () => {
  for (const objective of opened.splice(0)) await objective.close();
});

/** Gradients of the first step, and how many products are computed in half precision. */
const gradientsWith = async (precision: Precision, weight: number) => {
  const { objective, programs } = await openTinyObjective(weight, { batch: 4, microBatch: 4, precision });
  opened.push(objective);
  const { loss, gradients } = await objective.gradient(1);
  const halves = programs.step.program.graph.nodes.filter(
    ({ op, inputs }) => op === 'MatMul' && inputs[0]?.type?.kind === 'tensor' && inputs[0].type.dtype === 'float16',
  );
  return { loss, flat: Float64Array.from(gradients.flatMap((gradient) => [...gradient])), halves: halves.length };
};

const distance = (a: Float64Array, b: Float64Array): number => {
  const squares = (numbers: Float64Array): number => numbers.reduce((sum, value) => sum + value * value, 0);
  return Math.sqrt(squares(a.map((value, index) => value - b[index]!)) / squares(b));
};

describe('products in half precision', () => {
  it.each([1, 1e-5, 1e6])('give the gradients of a loss times %d within the precision of halves', async (weight) => {
    const single = await gradientsWith('float32', weight);
    const mixed = await gradientsWith('mixed', weight);
    expect(single.halves).toBe(0);
    expect(mixed.halves).toBeGreaterThan(40);
    expect(mixed.loss / single.loss).toBeCloseTo(1, 3);
    const apart = distance(mixed.flat, single.flat);
    expect(apart).toBeLessThan(0.02);
    expect(apart).toBeGreaterThan(0);
  });

  it('are refused where they would only cost time', () => {
    const { error } = distillStage.options.safeParse({ precision: 'mixed' });
    expect(error!.issues).toMatchObject([
      { path: ['precision'], message: expect.stringMatching(/needs a "provider"/) },
    ]);
    expect(distillStage.options.parse({ precision: 'mixed', provider: 'cuda' }).precision).toBe('mixed');
  });
});
