import { describe, expect, test } from 'vitest';
import { findChannelGroups } from '../../../src/analysis/channel-groups/groups.ts';
import { readSiteMatrix } from '../../../src/analysis/site-weights.ts';
import { findSites } from '../../../src/analysis/sites.ts';
import type { Dataset } from '../../../src/calibration/dataset.ts';
import { WeightCosts } from '../../../src/curvature/removal/costs.ts';
import { programFingerprint } from '../../../src/ir/fingerprint.ts';
import type { Model } from '../../../src/ir/model.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { memoryStore } from '../../../src/stages/memory-store.ts';
import { quantizeStage } from '../../../src/stages/quantize/index.ts';
import { ofClasses } from '../../../src/stages/slice/classes.ts';
import { sliceStage } from '../../../src/stages/slice/index.ts';
import { contextFor, measured, slice, tinyCnn, tinyLlama, tinyPictures, tinyText } from './workbench.ts';

const share = (model: Model, original: Model, measure: 'parameters' | 'operations', scope: 'all' | 'blocks'): number =>
  new WeightCosts(model.program, scope).total[measure] / new WeightCosts(original.program, scope).total[measure];

const textModel = (text: string): Model => ({
  program: parseProgram(text),
  family: undefined,
  config: undefined,
  companions: [],
  origin: 'text',
});

const gated = (sizes: string): Model =>
  textModel(`program opset=21
graph g(x: float32[n, 6]) -> (y) {
  wg: float32[6, ${sizes}] = random(seed=1)
  wd: float32[${sizes}, 6] = random(seed=2)
  g = MatMul(x, wg) { name: "gate" }
  s = Sigmoid(g)
  y = MatMul(s, wd) { name: "down" }
}`);

describe('slicing the language fixture', async () => {
  const model = await tinyLlama();
  const calibration = await tinyText(model, 'calibration', 16);
  const evaluation = await tinyText(model, 'evaluation', 12);
  const shared = memoryStore();
  const context = () => contextFor(calibration, { shared });

  test('the ratio is met in the measure that it counts, and nothing is cut for no reason', async () => {
    const { model: blocks } = await slice(model, { ratio: 0.2, refit: false }, context());
    expect(share(blocks, model, 'parameters', 'blocks')).toBeLessThanOrEqual(0.8);
    expect(share(blocks, model, 'parameters', 'blocks')).toBeGreaterThan(0.79);
    const { model: all } = await slice(model, { ratio: { parameters: 0.1 }, refit: false }, context());
    expect(share(all, model, 'parameters', 'all')).toBeLessThanOrEqual(0.9);
    expect(share(all, model, 'parameters', 'all')).toBeGreaterThan(0.89);
    const { model: operations } = await slice(model, { ratio: { operations: 0.3 }, refit: false }, context());
    expect(share(operations, model, 'operations', 'all')).toBeLessThanOrEqual(0.7);
    expect(share(operations, model, 'operations', 'all')).toBeGreaterThan(0.69);
  });

  const kl = async (options: object, data: Dataset = calibration): Promise<number> => {
    const { model: cut } = await slice(
      model,
      { ratio: 0.25, steps: 1, refit: false, ...options },
      contextFor(data, { shared }),
    );
    return measured('kl', cut, model, evaluation);
  };

  test('removal by the curvature loses less than removal by size, and readers that make up for it help', async () => {
    const obs = await kl({});
    const ridge = await kl({ method: 'magnitude', compensation: 'ridge' });
    const bare = await kl({ method: 'magnitude', compensation: 'none' });
    expect(obs).toBeLessThan(ridge);
    expect(ridge).toBeLessThan(bare);
    for (const method of ['fisher', 'taylor', 'leverage', 'wanda'])
      expect(await kl({ method }), method).toBeLessThan(bare);
  });

  test('the refit gives back a part of what was lost', async () => {
    const more = await tinyText(model, 'calibration', 64);
    expect(await kl({ refit: true }, more)).toBeLessThan(await kl({}, more));
  });

  test('a bias makes up for the means of what goes', async () => {
    const options = { ratio: 0.15, method: 'flap', allocation: 'uniform', kinds: ['neurons'] };
    expect(await kl({ ...options, compensation: 'bias' })).toBeLessThan(await kl({ ...options, compensation: 'none' }));
  });

  test('the same seed gives the same bytes, and a resumed run too', async () => {
    const checkpoints = memoryStore();
    const options = { ratio: 0.3, steps: 2 };
    const first = await slice(model, options, contextFor(calibration, { checkpoints }));
    const second = await slice(model, options, contextFor(calibration));
    const resumed = await slice(model, options, contextFor(calibration, { checkpoints }));
    expect(programFingerprint(second.model.program)).toBe(programFingerprint(first.model.program));
    expect(programFingerprint(resumed.model.program)).toBe(programFingerprint(first.model.program));
  });

  test('what stays is a multiple of what was asked for, and limits of kinds hold', async () => {
    const options = { ratio: 0.3, multiple: 16, kinds: ['neurons'], most: { neurons: 0.6 }, refit: false };
    const { model: cut } = await slice(model, options, context());
    const inner = findSites(cut.program).filter(({ role }) => role === 'down');
    expect(inner).toHaveLength(3);
    for (const { columns } of inner) {
      expect(columns % 16).toBe(0);
      expect(columns).toBeGreaterThanOrEqual(64);
    }
  });

  test('nested sizes: what a smaller model keeps, a larger one keeps too', async () => {
    const rows = async (ratio: number): Promise<string[]> => {
      const options = { ratio, allocation: 'nested', compensation: 'none', refit: false, kinds: ['neurons'] };
      const { model: cut } = await slice(model, options, context());
      return findSites(cut.program)
        .filter(({ role }) => role === 'up')
        .flatMap((site) => {
          const matrix = readSiteMatrix(site);
          return Array.from(
            { length: site.rows },
            (_, row) => `${site.name}: ${matrix.subarray(row * site.columns, (row + 1) * site.columns).join()}`,
          );
        });
    };
    const [large, small] = [new Set(await rows(0.2)), await rows(0.5)];
    expect(small.length).toBeLessThan(large.size);
    expect(small.every((row) => large.has(row))).toBe(true);
  });

  test('whole branches may go, which leaves sums of one operand', async () => {
    const options = { kinds: ['heads'], method: 'leverage', refit: false };
    const { model: cut } = await slice(model, { ratio: 0.2, ...options }, context());
    const branches = (one: Model): number => findSites(one.program).filter(({ role }) => role === 'o').length;
    expect(branches(cut)).toBeLessThan(3);
    expect(await measured('perplexity', cut, model, evaluation)).toBeGreaterThan(1);
    const kept = await slice(model, { ratio: 0.1, ...options, whole_branches: false }, context());
    expect(branches(kept.model)).toBe(3);
    await expect(slice(model, { ratio: 0.2, ...options, whole_branches: false }, context())).rejects.toThrow(
      /would leave a group empty/,
    );
  });

  test('config.json says what all layers have in common, and a warning says where they differ', async () => {
    const alike = { ratio: 0.2, method: 'magnitude', kinds: ['neurons'], multiple: 16 };
    const { model: even, findings } = await slice(model, alike, contextFor(undefined));
    const widths = new Set(
      findSites(even.program)
        .filter(({ role }) => role === 'down')
        .map(({ columns }) => columns),
    );
    expect([...widths]).toEqual([even.config?.intermediate_size]);
    expect(findings.filter(({ kind }) => kind === 'warning')).toEqual([]);
    const { model: uneven, findings: told } = await slice(model, { ratio: 0.2, refit: false }, context());
    expect(uneven.config?.intermediate_size).toBe(160);
    expect(told.find(({ kind }) => kind === 'warning')?.text).toMatch(/layers now differ in their inner widths/);
  });

  test('what cannot be removed is named with its reason, and events tell what became smaller', async () => {
    const events: import('../../../src/recipe/events.ts').RunEvent[] = [];
    const { findings } = await slice(model, { ratio: 0.1, refit: false }, contextFor(calibration, { shared, events }));
    const texts = findings.map(({ text }) => text);
    expect(texts[0]).toMatch(/^left: \d+\.\d % of the parameters, (89|90)\.\d % of those of blocks/);
    expect(texts).toContain(
      'kept whole, since residual streams are not among the kinds asked for: stream of model.embed_tokens',
    );
    const finished = events.filter((event) => event.type === 'site-finished');
    expect(finished.map((event) => event.type === 'site-finished' && event.site)).toContain(
      'model.layers.0.mlp.down_proj',
    );
  });

  test('a plan reads no weight and says what may go', () => {
    const plan = sliceStage.plan(model, sliceStage.options.parse({ ratio: 0.25 }));
    expect(plan.sites.filter(({ action }) => action === 'sliced by obs')).toHaveLength(21);
    expect(plan.sites.find(({ site }) => site === 'model.embed_tokens')?.action).toBe('kept');
    expect(plan.findings.at(-1)?.text).toMatch(/block parameters go in 2 steps/);
  });
});

describe('slicing the vision fixture', async () => {
  const model = await tinyCnn();
  const calibration = await tinyPictures(model, 'calibration');
  const evaluation = await tinyPictures(model, 'evaluation', 300);

  test('accuracy survives where readers make up for what goes', async () => {
    const options = { ratio: { operations: 0.4 } };
    const { model: obs } = await slice(model, options, contextFor(calibration));
    const bare = await slice(model, { ...options, method: 'magnitude' }, contextFor(undefined));
    const ridge = await slice(
      model,
      { ...options, method: 'magnitude', compensation: 'ridge' },
      contextFor(calibration),
    );
    const accuracy = (one: Model): Promise<number> => measured('accuracy', one, model, evaluation);
    expect(share(obs, model, 'operations', 'all')).toBeLessThanOrEqual(0.6);
    expect(await accuracy(obs)).toBeGreaterThan(0.8);
    expect(await accuracy(ridge.model)).toBeGreaterThan((await accuracy(bare.model)) + 0.3);
  });

  test('a model cut for some classes knows these better than one cut for all', async () => {
    const options = { ratio: { operations: 0.7 }, refit: false, steps: 1 };
    const own = await slice(model, { ...options, classes: [0, 3] }, contextFor(calibration));
    const all = await slice(model, options, contextFor(calibration));
    const some = await ofClasses(evaluation, [0, 3]);
    expect(some.length).toBeLessThan(evaluation.length / 2);
    expect(await measured('kl', own.model, model, some)).toBeLessThan(await measured('kl', all.model, model, some));
  });

  test('classes that no sample has, and samples without labels, are refused', async () => {
    await expect(slice(model, { ratio: 0.1, classes: [99] }, contextFor(calibration))).rejects.toThrow(
      /no sample of .* is of class 99/,
    );
    const language = await tinyLlama();
    const text = await tinyText(language, 'calibration', 2);
    await expect(slice(language, { ratio: 0.1, classes: [1] }, contextFor(text))).rejects.toThrow(/has no label/);
  });
});

describe('bad input', () => {
  const error = async (model: Model, options: object): Promise<unknown> =>
    slice(model, { method: 'magnitude', ...options }, contextFor(undefined)).catch((thrown: unknown) => thrown);

  test('a ratio that would leave a group empty says how much can go', async () => {
    expect(await error(gated('8'), { ratio: { parameters: 0.95 } })).toMatchObject({
      code: 'mismatch',
      message: 'the ratio would leave a group empty: of 96 parameters at most 84 can go, 92 were asked for',
      where: { key: 'ratio' },
    });
  });

  test('a quantized model is refused with the right order', async () => {
    const model = await tinyLlama();
    const options = quantizeStage.options.parse({ method: 'rtn', weights: { bits: 4 } });
    const { model: packed } = await quantizeStage.run(model, options, contextFor(undefined));
    expect(await error(packed, { ratio: 0.1 })).toMatchObject({
      code: 'unsupported',
      hint: expect.stringContaining('Put slice before quantize'),
    });
    expect(() => sliceStage.plan(packed, sliceStage.options.parse({ ratio: 0.1 }))).toThrow(/quantized already/);
  });

  test('tied weights cannot be asked to differ', async () => {
    const model = textModel(`program opset=21
graph g(ids: int64[n, s]) -> (y) {
  e: float32[11, 6] = random(seed=1)
  w: float32[6, 6] = random(seed=2)
  a = Gather(e, ids) { name: "first" }
  b = Gather(e, ids) { name: "second" }
  c = Mul(a, b)
  y = MatMul(c, w) { name: "inner" }
}`);
    expect(await error(model, { ratio: 0.2, ignore: ['second'] })).toMatchObject({
      code: 'mismatch',
      message: expect.stringContaining('first and second share a weight'),
    });
  });

  test('a model without any channel to remove is refused when it is planned', () => {
    const model = textModel(`program opset=21
graph g(x: float32[n, 6]) -> (y) {
  w: float32[6, 6] = random(seed=2)
  y = MatMul(x, w) { name: "only" }
}`);
    expect(() => sliceStage.plan(model, sliceStage.options.parse({ ratio: 0.1 }))).toThrow(/no channel of this model/);
    expect(findChannelGroups(model.program).excluded).toEqual([
      { site: 'only', count: 6, reason: 'y is an output of the model' },
    ]);
  });

  test.each([
    [{}, 'ratio'],
    [{ ratio: 0 }, 'ratio'],
    [{ ratio: { parameters: 0.1, operations: 0.2 } }, 'exactly one measure'],
    [{ ratio: 0.1, kinds: ['noses'] }, 'kinds'],
    [{ ratio: 0.1, method: 'guess' }, 'method'],
    [{ ratio: 0.1, most: { neurons: 2 } }, 'most'],
    [{ ratio: 0.1, colour: 'red' }, 'colour'],
  ])('options %j are refused', (options, where) => {
    const { success, error: problem } = sliceStage.options.safeParse(options);
    expect(success).toBe(false);
    expect(JSON.stringify(problem!.issues)).toContain(where);
  });
});
