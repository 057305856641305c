import { describe, expect, it } from 'vitest';
import type { Model } from '../../../../src/ir/model.ts';
import { PackedTensor } from '../../../../src/ir/packed-tensor.ts';
import { parseProgram } from '../../../../src/ir/text/parse.ts';
import { quantizeStage } from '../../../../src/stages/quantize/index.ts';
import type { StageContext, StageResult } from '../../../../src/stages/stage.ts';
import { contextFor, klOf, tinyLlama, tinyText } from '../../distill/workbench.ts';
import { contextOf, datasetOf, modelOf, normalSamples } from '../activations/workbench.ts';

const quantized = (model: Model, written: object, context: StageContext): Promise<StageResult> =>
  quantizeStage.run(model, quantizeStage.options.parse({ method: 'rtn', ...written }), context);

const packedOf = (model: Model): PackedTensor[] =>
  [...model.program.graph.initializers].flatMap(({ tensor }) => (tensor instanceof PackedTensor ? [tensor] : []));

const bytesOf = (model: Model): Buffer => Buffer.concat(packedOf(model).map((tensor) => Buffer.from(tensor.bytes())));

const two = { weights: { bits: 2, group_size: 32 }, ignore: ['role:embedding', 'role:head'] };

describe('refinement of a language model', () => {
  it.each([
    ['block-ap', 'curvature', 0.5],
    ['block-ap', 'error', 0.6],
    ['auto-round', 'curvature', 0.75],
    ['adaround', 'curvature', 0.75],
  ] as const)('by %s in the metric "%s" loses far less than rounding', async (method, metric, share) => {
    const original = await tinyLlama();
    const context = contextFor(original, await tinyText(original, 'calibration', 32));
    const held = await tinyText(original, 'evaluation', 8);
    const { model: before } = await quantized(original, two, context);
    const { model: after, findings } = await quantized(
      original,
      { ...two, refine: { method, metric, steps: 40, batch: 4 } },
      context,
    );
    expect(await klOf(after, original, held)).toBeLessThan(share * (await klOf(before, original, held)));
    const [olds, news] = [packedOf(before), packedOf(after)];
    news.forEach(({ facts }, index) => {
      const { rows, columns, groupSize } = olds[index]!.facts;
      expect(facts).toMatchObject({ bits: 2, rows, columns, groupSize, method: `rtn+${method}` });
    });
    const blocks = findings.filter(({ text }) => text.includes('refined'));
    expect(blocks.length).toBeGreaterThanOrEqual(3);
    for (const { facts } of blocks) {
      expect(facts!.error_after).toBeLessThanOrEqual(facts!.error_before as number);
      expect(facts!.weighted).toBe(metric === 'curvature' ? 1 : 0);
    }
  });

  it('that was killed goes on to the same bytes without doing finished blocks again', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 12);
    const written = { ...two, refine: { steps: 6, batch: 2 } };
    const whole = await quantized(original, written, contextFor(original, data));
    const kept = new Map<string, Uint8Array>();
    const checkpoints = {
      get: (key: string) => kept.get(key),
      put: (key: string, bytes: Uint8Array) => void kept.set(key, bytes),
    };
    const stop = new AbortController();
    const killed = quantized(
      original,
      written,
      contextFor(original, data, {
        checkpoints,
        signal: stop.signal,
        emit: (event) => {
          if (event.type === 'progress' && event.task === 'refining: block 1' && event.done === 2) stop.abort();
        },
      }),
    );
    await expect(killed).rejects.toMatchObject({ code: 'interrupted' });
    const tasks = new Set<string>();
    const resumed = await quantized(
      original,
      written,
      contextFor(original, data, {
        checkpoints,
        emit: (event) => {
          if (event.type === 'progress' && event.unit === 'steps') tasks.add(event.task);
        },
      }),
    );
    expect(tasks.has('refining: block 0')).toBe(false);
    expect(tasks.has('refining: block 1')).toBe(true);
    expect(bytesOf(resumed.model)).toEqual(bytesOf(whole.model));
    expect(resumed.findings).toEqual(whole.findings);
  });
});

const network = (): Model =>
  modelOf(
    parseProgram(`program opset=21
graph g(x: float32[batch, 3, 8, 8]) -> (y) {
  a: float32[12, 3, 3, 3] = random(seed=1, scale=0.3)
  b: float32[12, 12, 3, 3] = random(seed=2, scale=0.2)
  c: float32[12, 12, 3, 3] = random(seed=3, scale=0.2)
  d: float32[12, 10] = random(seed=4, scale=0.5)
  h = Conv(x, a, pads=[1, 1, 1, 1])
  r = Relu(h)
  k = Conv(r, b, pads=[1, 1, 1, 1])
  s = Relu(k)
  t = Conv(s, c, pads=[1, 1, 1, 1])
  u = Add(t, r)
  v = Relu(u)
  p = GlobalAveragePool(v)
  f = Flatten(p)
  y = MatMul(f, d)
}
`),
  );

describe('refinement of convolutions', () => {
  it('brings outputs back toward those of the original, several images at a time', async () => {
    const original = network();
    const context = contextOf(datasetOf(normalSamples('x', [1, 3, 8, 8], 48)));
    const held = datasetOf(normalSamples('x', [1, 3, 8, 8], 64).slice(48));
    const plain = { weights: { bits: 2, group_size: 'row' } };
    const { model: before } = await quantized(original, plain, context);
    const { model: after } = await quantized(original, { ...plain, refine: { steps: 80, metric: 'error' } }, context);
    expect(await klOf(after, original, held)).toBeLessThan(0.6 * (await klOf(before, original, held)));
  });
});

describe('convolutions in the metric of the curvature', () => {
  it.each(['adaround', 'block-ap'] as const)(
    'come nearer to the original by %s, channels weighed by their cost',
    async (method) => {
      const original = network();
      const samples = normalSamples('x', [1, 3, 8, 8], 64);
      const context = contextOf(datasetOf(samples.slice(0, 48)));
      const held = datasetOf(samples.slice(48));
      const plain = { weights: { bits: 2, group_size: 'row' } };
      const { model: before } = await quantized(original, plain, context);
      const { model: after, findings } = await quantized(
        original,
        { ...plain, refine: { method, steps: 80 } },
        context,
      );
      const weighted = findings.filter(({ facts }) => facts?.weighted === 1);
      expect(weighted.length).toBeGreaterThanOrEqual(2);
      expect(await klOf(after, original, held)).toBeLessThan(0.7 * (await klOf(before, original, held)));
    },
  );
});

describe('bad input', () => {
  it('refinement without data is refused before the start', () => {
    const options = quantizeStage.options.parse({ method: 'rtn', refine: 'auto-round' });
    expect(quantizeStage.needsCalibration(options)).toBe(true);
  });

  it('refinement has no meaning for 8-bit activations', () => {
    expect(() => quantizeStage.options.parse({ activations: 'dynamic', refine: 'block-ap' })).toThrow(
      /rounding of weights/,
    );
  });

  it('weights that are not float32 are named', async () => {
    const original = modelOf(
      parseProgram(`program opset=21
graph g(x: float16[batch, 32]) -> (y) {
  w: float16[32, 32] = random(seed=1)
  y = MatMul(x, w)
}
`),
    );
    const samples = normalSamples('x', [1, 32], 8).map(({ x }) => ({ x: x! }));
    const run = quantized(original, { weights: { bits: 4 }, refine: 'block-ap' }, contextOf(datasetOf(samples)));
    await expect(run).rejects.toMatchObject({ code: 'unsupported', message: /float16 weights cannot be refined/ });
  });
});
