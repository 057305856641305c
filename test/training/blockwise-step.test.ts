import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { cloneProgram } from '../../src/ir/clone.ts';
import { inferShapes } from '../../src/ir/inference/index.ts';
import { buildPrograms, GraphObjective } from '../../src/training/graph-objective.ts';
import { distributionLosses } from '../../src/training/losses/table.ts';
import { findTrainable, readTrainable } from '../../src/training/trainable.ts';
import { plainWeight } from '../../src/training/weights/plain.ts';
import { contextFor, distil, klOf, tinyLlama, tinyText } from '../stages/distill/workbench.ts';

const signal = new AbortController().signal;

describe('a step whose gradients are taken block by block', () => {
  const objectives: GraphObjective[] = [];

  beforeAll(async () => {
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
        distributions: [{ loss: distributionLosses['cross-entropy'], weight: 2, mixture: 0 }],
        temperature: 1,
        teachers: [],
        features: [],
        squares: [],
        windows: true,
      },
    } as const;
    const programs = buildPrograms(request);
    const scratch = { directory: tmpdir() };
    for (const blockwise of [undefined, { maxMemoryBytes: 2 ** 16, scratch, signal }])
      objectives.push(
        await GraphObjective.open(
          {
            ...request,
            teachers: [],
            dataset,
            train: [0, 1, 2, 3, 4, 5, 6, 7],
            held: [],
            batch: 5,
            microBatch: 2,
            blockwise,
            seed: 0,
            engine: onnxruntimeEngine,
            session: {},
            signal,
          },
          programs,
        ),
      );
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
