import { describe, expect, it } from 'vitest';
import { readSiteMatrix } from '../../../src/analysis/site-weights.ts';
import { findSites } from '../../../src/analysis/sites.ts';
import type { Model } from '../../../src/ir/model.ts';
import { PackedTensor } from '../../../src/ir/packed-tensor.ts';
import { readFloats } from '../../../src/ir/read.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import type { RunEvent } from '../../../src/recipe/events.ts';
import { dropLayers } from '../../../src/stages/distill/drop-layers.ts';
import { quantizeStage } from '../../../src/stages/quantize/index.ts';
import { datasetOf, modelOf, normalSamples } from '../quantize/activations/workbench.ts';
import { contextFor, distil, klOf, tinyLlama, tinyText } from './workbench.ts';

const quantized = async (model: Model, bits: number): Promise<Model> => {
  const options = quantizeStage.options.parse({ method: 'rtn', weights: { bits, group_size: 32 } });
  const { model: result } = await quantizeStage.run(
    model,
    options,
    contextFor(model, await tinyText(model, 'calibration')),
  );
  return result;
};

const packedOf = (model: Model): PackedTensor[] =>
  [...model.program.graph.initializers].flatMap(({ tensor }) => (tensor instanceof PackedTensor ? [tensor] : []));

const bytesOf = (model: Model): Buffer =>
  Buffer.concat([...model.program.graph.initializers].map(({ tensor }) => tensor!.bytes()));

describe('quantization-aware distillation', () => {
  it('trains the integers: far less divergence on other data, the same grids', async () => {
    const original = await tinyLlama();
    const model = await quantized(original, 2);
    const events: RunEvent[] = [];
    const data = await tinyText(original, 'calibration', 40);
    const held = await tinyText(original, 'evaluation', 8);
    const result = await distil(model, { steps: 80, batch: 4 }, contextFor(original, data, { events }));
    const [before, after] = [await klOf(model, original, held), await klOf(result.model, original, held)];
    expect(after).toBeLessThan(0.6 * before);
    const [olds, news] = [packedOf(model), packedOf(result.model)];
    expect(news).toHaveLength(olds.length);
    news.forEach(({ facts }, index) => {
      const old = olds[index]!.facts;
      expect(facts).toMatchObject({ bits: 2, groupSize: old.groupSize, zeroPoints: old.zeroPoints, method: 'rtn+qad' });
    });
    expect(
      news.filter(({ facts }, index) => Buffer.compare(facts.codes, olds[index]!.facts.codes) !== 0).length,
    ).toBeGreaterThan(15);
    expect(result.findings[0]).toMatchObject({ kind: 'fact', facts: { steps: 80 } });
    const steps = events.filter((event) => event.type === 'training-step');
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 80 }, (_, index) => index + 1));
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss);
  });

  it('that was killed goes on to the same bytes', async () => {
    const original = await tinyLlama();
    const model = await quantized(original, 3);
    const data = await tinyText(original, 'calibration', 12);
    const written = { steps: 30, batch: 3, validate_every: 5 };
    const whole = await distil(model, written, contextFor(original, data));
    const kept = new Map<string, Uint8Array>();
    const checkpoints = {
      get: (key: string) => kept.get(key),
      put: (key: string, bytes: Uint8Array) => void kept.set(key, bytes),
    };
    const stop = new AbortController();
    const killed = distil(
      model,
      written,
      contextFor(original, data, {
        checkpoints,
        signal: stop.signal,
        emit: (event) => {
          if (event.type === 'training-step' && event.step === 27) stop.abort();
        },
      }),
    );
    await expect(killed).rejects.toMatchObject({ code: 'interrupted' });
    expect(kept.size).toBe(1);
    const events: RunEvent[] = [];
    const resumed = await distil(model, written, contextFor(original, data, { checkpoints, events }));
    expect(events.filter((event) => event.type === 'training-step').map(({ step }) => step)).toEqual([
      26, 27, 28, 29, 30,
    ]);
    expect(bytesOf(resumed.model)).toEqual(bytesOf(whole.model));
    expect(resumed.findings).toEqual(whole.findings);
  });
});

describe('a student of fewer layers', () => {
  it('learns from hidden states and distributions what dropping layers has broken', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration');
    const held = await tinyText(original, 'evaluation', 8);
    const written = {
      hold_out: 0.25,
      layers: [0, 2],
      steps: 30,
      batch: 4,
      losses: { 'forward-kl': 1, hidden: 0.5, 'cross-entropy': 0.1 },
    };
    const { model } = await distil(original, written, contextFor(original, data));
    expect(model.config).toMatchObject({ num_hidden_layers: 2 });
    const cut = dropLayers(original, [0, 2]);
    expect(await klOf(model, original, held)).toBeLessThan(0.5 * (await klOf(cut, original, held)));
    expect(
      findSites(model.program)
        .filter(({ role }) => role === 'down')
        .map(({ name }) => name),
    ).toEqual(['model.layers.0.mlp.down_proj', 'model.layers.1.mlp.down_proj']);
  });
});

describe('what is trained', () => {
  it('is what targets say, and nothing else changes', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 12);
    const model = await quantized(original, 4);
    const { model: result } = await distil(
      model,
      { steps: 3, batch: 2, targets: ['role:up'], hold_out: 0 },
      contextFor(original, data),
    );
    const before = new Map([...model.program.graph.initializers].map(({ name, tensor }) => [name, tensor!]));
    for (const { name, tensor } of result.program.graph.initializers)
      expect([name, Buffer.compare(tensor!.bytes(), before.get(name)!.bytes()) === 0]).toEqual([
        name,
        !name.includes('up_proj'),
      ]);
  });

  it('with adapters changes matrices by a low rank', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 12);
    const written = { teacher: 'input', layers: [0, 1], adapters: { rank: 1 }, steps: 3, batch: 2, hold_out: 0 };
    const { model } = await distil(original, written, contextFor(original, data));
    const cut = dropLayers(original, [0, 1]);
    const name = 'model.layers.1.mlp.gate_proj';
    const matrixOf = (of: Model): Float32Array =>
      readSiteMatrix(findSites(of.program).find((site) => site.name === name)!);
    const [after, before] = [matrixOf(model), matrixOf(cut)];
    const change = after.map((value, index) => value - before[index]!);
    const largest = Math.max(...change.map(Math.abs));
    expect(largest).toBeGreaterThan(1e-5);
    // Of rank one, every 2 × 2 minor vanishes.
    for (let row = 1; row < 160; row += 13)
      for (let column = 1; column < 64; column += 7) {
        const minor = change[0]! * change[row * 64 + column]! - change[column]! * change[row * 64]!;
        expect(Math.abs(minor)).toBeLessThan(1e-2 * largest ** 2);
      }
    const gain = (of: Model): number[] => [
      ...readFloats([...of.program.graph.initializers].find((value) => value.name === 'model.norm.weight')!.tensor!),
    ];
    expect(gain(model)).toEqual(gain(cut));
  });
});

describe('a batch', () => {
  it('run in parts is the same batch: losses and gradients add up', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 12);
    const firstStep = async (microBatch: number) => {
      const events: RunEvent[] = [];
      const losses = { 'forward-kl': 1, 'cross-entropy': 0.5, hidden: 0.5 };
      const written = { layers: [0, 2], steps: 1, batch: 6, micro_batch: microBatch, hold_out: 0, losses };
      await distil(original, written, contextFor(original, data, { events }));
      return events.find((event) => event.type === 'training-step')!;
    };
    const whole = await firstStep(6);
    for (const size of [1, 4]) {
      const parts = await firstStep(size);
      expect(parts.loss).toBeCloseTo(whole.loss, 5);
      expect(parts.gradientNorm / whole.gradientNorm).toBeCloseTo(1, 4);
      expect(parts.seen).toBe(whole.seen);
      for (const [name, value] of Object.entries(whole.parts)) expect(parts.parts[name]).toBeCloseTo(value, 5);
    }
  });
});

describe('bad input', () => {
  const small = `program opset=21
graph g(input_ids: int64[batch, length]) -> (logits) {
  e: float32[32, 16] = random(seed=1)
  w: float32[16, 40] = random(seed=2)
  h = Gather(e, input_ids)
  logits = MatMul(h, w)
}
`;

  it('a teacher of another vocabulary is refused with both sizes', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 12);
    const other = modelOf(parseProgram(small));
    const run = distil(other, { steps: 1 }, contextFor(original, data));
    await expect(run).rejects.toMatchObject({
      code: 'mismatch',
      message: expect.stringMatching(/40 classes.*32/),
    });
  });

  it('… unless what both have is to be compared', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 12);
    const few = modelOf(parseProgram(small.replace('16, 40', '16, 20').replace('32, 16', '40, 16')));
    const written = { vocabulary: 'shared', steps: 20, batch: 4, learning_rate: 0.02, hold_out: 0.2 };
    for (const student of [modelOf(parseProgram(small)), few]) {
      const { findings } = await distil(student, written, contextFor(original, data));
      const { held_out_before: before, held_out_after: after } = findings[0]!.facts as Record<string, number>;
      expect(after).toBeLessThan(0.9 * before!);
    }
  });

  it('too few samples for a batch are refused', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 3);
    await expect(distil(original, { batch: 8 }, contextFor(original, data))).rejects.toThrow(
      /3 samples are too few for a batch of 8/,
    );
  });

  it('memory that not even one sample fits into is predicted before the start', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 12);
    const run = distil(original, { batch: 2, steps: 1 }, contextFor(original, data, { maxMemoryBytes: 2 ** 20 }));
    await expect(run).rejects.toMatchObject({ code: 'resource', message: expect.stringMatching(/1 MiB are allowed/) });
  });

  it('a learning rate that diverges ends with the best state and says so', async () => {
    const original = await tinyLlama();
    const model = await quantized(original, 4);
    const data = await tinyText(original, 'calibration', 12);
    const written = { learning_rate: 30, steps: 50, batch: 2, validate_every: 1, warmup: 0 };
    const { model: result, findings } = await distil(model, written, contextFor(original, data));
    expect(findings.map(({ kind }) => kind)).toEqual(['fact', 'warning', 'fallback']);
    expect(findings.at(-1)!.text).toMatch(/best state is kept/);
    expect(bytesOf(result)).toEqual(bytesOf(model));
  });

  it.skipIf(process.platform === 'win32')('a provider that is not there is named', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 12);
    await expect(distil(original, { provider: 'dml', steps: 1 }, contextFor(original, data))).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringMatching(/dml/),
    });
  });

  it('nothing to train is an error', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 12);
    await expect(distil(original, { targets: ['nowhere'] }, contextFor(original, data))).rejects.toThrow(
      /none of the \d+ weights/,
    );
  });
});

describe('models of arrays', () => {
  const encoder = (scale: number): Model =>
    modelOf(
      parseProgram(`program opset=21
graph g(x: float32[batch, 3, 4, 4]) -> (features) {
  a: float32[8, 3, 3, 3] = random(seed=1, scale=0.3)
  b: float32[8, 6] = random(seed=2, scale=${scale})
  h = Conv(x, a)
  r = Relu(h)
  p = GlobalAveragePool(r)
  f = Flatten(p)
  features = MatMul(f, b)
}
`),
    );

  it('learn features of an output by name, in batches of images', async () => {
    const [teacher, student] = [encoder(0.5), encoder(0.1)];
    const data = datasetOf(normalSamples('x', [1, 3, 4, 4], 32));
    const written = {
      steps: 60,
      batch: 8,
      learning_rate: 0.02,
      losses: { features: [{ student: 'features', loss: 'mse' }] },
    };
    const { findings } = await distil(student, written, contextFor(teacher, data));
    const { held_out_before: before, held_out_after: after } = findings[0]!.facts as Record<string, number>;
    expect(after).toBeLessThan(0.1 * before!);
  });

  it('learn channels of images place by place, projected where their numbers differ', async () => {
    const images = (channels: number, seed: number, stride = 1): Model =>
      modelOf(
        parseProgram(`program opset=21
graph g(x: float32[batch, 3, 8, 8]) -> (features) {
  a: float32[${channels}, 3, 3, 3] = random(seed=${seed}, scale=0.3)
  h = Conv(x, a, strides=[${stride}, ${stride}])
  features = Relu(h)
}
`),
      );
    const data = datasetOf(normalSamples('x', [1, 3, 8, 8], 32));
    const losses = { features: [{ student: 'features' }] };
    const written = { steps: 60, batch: 8, learning_rate: 0.02, losses };
    const { findings } = await distil(images(6, 1), written, contextFor(images(9, 2), data));
    const { held_out_before: before, held_out_after: after } = findings[0]!.facts as Record<string, number>;
    expect(after).toBeLessThan(0.6 * before!);
    await expect(distil(images(6, 1, 2), written, contextFor(images(9, 2), data))).rejects.toMatchObject({
      code: 'mismatch',
      message: expect.stringMatching(/\[3, 3\] places.*\[6, 6\]/),
    });
  });

  it('learn distributions from several teachers by their shares', async () => {
    const [teacher, student] = [encoder(0.5), encoder(0.1)];
    const data = datasetOf(normalSamples('x', [1, 3, 4, 4], 32));
    const events: RunEvent[] = [];
    const written = { teacher: ['input', { path: 'other', weight: 3 }], steps: 2, batch: 4, learning_rate: 1e-3 };
    await distil(
      student,
      written,
      contextFor(teacher, data, { events, models: { original: teacher, open: async () => student } }),
    );
    const first = events.find((event) => event.type === 'training-step')!;
    const parts = first.parts;
    expect(Object.keys(parts)).toEqual(['forward-kl of teacher 0', 'forward-kl of teacher 1']);
    expect(parts['forward-kl of teacher 1']).toBeLessThan(1e-6);
    expect(first.loss).toBeCloseTo(0.25 * parts['forward-kl of teacher 0']!, 6);
  });
});
