import { afterEach, describe, expect, it } from 'vitest';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { cloneProgram } from '../../src/ir/clone.ts';
import { inferShapes } from '../../src/ir/inference/index.ts';
import { distillStage } from '../../src/stages/distill/index.ts';
import { buildPrograms, GraphObjective } from '../../src/training/graph-objective.ts';
import { distributionLosses } from '../../src/training/losses/table.ts';
import type { Precision } from '../../src/training/step-program.ts';
import { findTrainable, readTrainable } from '../../src/training/trainable.ts';
import { plainWeight } from '../../src/training/weights/plain.ts';
import { tinyLlama, tinyText } from '../stages/distill/workbench.ts';

const opened: GraphObjective[] = [];

afterEach(async () => {
  for (const objective of opened.splice(0)) await objective.close();
});

/** Gradients of the first step, and how many products are computed in half precision. */
const gradientsWith = async (precision: Precision, weight: number) => {
  const model = await tinyLlama();
  const dataset = await tinyText(model, 'calibration', 8);
  const student = cloneProgram(model.program);
  inferShapes(student);
  const weights = new Map(
    findTrainable(student).map((one) => [
      one.value,
      plainWeight(one.value.name, one.tensor.shape, readTrainable(one), one.kind),
    ]),
  );
  const request = {
    student,
    weights,
    extra: [],
    loss: {
      scores: { value: student.graph.outputs[0]!, kind: 'scores' },
      classes: undefined,
      distributions: [{ loss: distributionLosses['cross-entropy'], weight, mixture: 0 }],
      temperature: 1,
      teachers: [],
      features: [],
      squares: [],
      windows: true,
    },
  } as const;
  const programs = buildPrograms({ ...request, precision });
  const objective = await GraphObjective.open(
    {
      ...request,
      teachers: [],
      dataset,
      train: [0, 1, 2, 3, 4, 5, 6, 7],
      held: [],
      batch: 4,
      microBatch: 4,
      seed: 0,
      engine: onnxruntimeEngine,
      session: {},
      signal: new AbortController().signal,
    },
    programs,
  );
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
