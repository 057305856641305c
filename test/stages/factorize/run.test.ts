import { describe, expect, test } from 'vitest';
import { measureCost } from '../../../src/analysis/cost.ts';
import { readSiteMatrix } from '../../../src/analysis/site-weights.ts';
import { findSites } from '../../../src/analysis/sites.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import type { Model } from '../../../src/ir/model.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { verify } from '../../../src/ir/verify.ts';
import { factorizeStage } from '../../../src/stages/factorize/index.ts';
import type { StageContext, StageResult } from '../../../src/stages/stage.ts';
import { contextFor, klOf, tinyLlama, tinyText } from '../distill/workbench.ts';

const factorize = (model: Model, written: unknown, context: StageContext): Promise<StageResult> =>
  factorizeStage.run(model, factorizeStage.options.parse(written), context);

const factsOf = ({ findings }: StageResult): Readonly<Record<string, number>> =>
  findings.find(({ facts }) => facts?.parameters_after !== undefined)!.facts as Readonly<Record<string, number>>;

describe('on a language model', () => {
  test('keeps the budget, leaves embedding and head alone, and loses less than other metrics do', async () => {
    const model = await tinyLlama();
    const context = contextFor(model, await tinyText(model, 'calibration', 48));
    const held = await tinyText(model, 'evaluation');
    const kl = async (written: unknown): Promise<number> =>
      klOf((await factorize(model, written, context)).model, model, held);
    const result = await factorize(model, { ratio: 0.25, refit: false }, context);
    expect(verify(result.model.program)).toEqual([]);
    const facts = factsOf(result);
    expect(facts.parameters_after! / facts.parameters_before!).toBeLessThanOrEqual(0.75);
    expect(facts.parameters_after! / facts.parameters_before!).toBeGreaterThan(0.74);
    const saved = measureCost(model.program).parameters - measureCost(result.model.program).parameters;
    expect(saved).toBe(facts.parameters_before! - facts.parameters_after!);
    const dense = new Set(
      findSites(model.program)
        .filter(({ block }) => block === undefined)
        .map(({ name }) => name),
    );
    const names = new Set(findSites(result.model.program).map(({ name }) => name));
    for (const name of dense) expect(names.has(`${name}.right`)).toBe(false);
    const twoSided = await klOf(result.model, model, held);
    expect(twoSided).toBeLessThan(await kl({ ratio: 0.25, refit: false, method: 'plain', allocation: 'uniform' }));
    const corrected = await factorize(model, { ratio: 0.25 }, context);
    expect(await klOf(corrected.model, model, held)).toBeLessThan(twoSided * 1.02);
    const told = corrected.findings.filter(({ facts }) => facts?.corrected !== undefined);
    expect(told).toHaveLength(1);
    const { corrected: count, error_before: before, error_after: after } = told[0]!.facts as Record<string, number>;
    expect(count).toBeGreaterThan(0);
    expect(after).toBeLessThan(before!);
  });

  test('the prediction is of the size of what is measured', async () => {
    const model = await tinyLlama();
    const context = contextFor(model, await tinyText(model, 'calibration', 48));
    const result = await factorize(model, { ratio: 0.1, refit: false }, context);
    const measured = await klOf(result.model, model, await tinyText(model, 'evaluation'));
    const predicted = factsOf(result).predicted_loss!;
    expect(measured / predicted).toBeGreaterThan(0.3);
    expect(measured / predicted).toBeLessThan(3);
  });

  test('ranks by what weights alone suggest keep the budget without any gradient', async () => {
    const model = await tinyLlama();
    const context = contextFor(model, await tinyText(model, 'calibration', 16));
    const result = await factorize(model, { ratio: 0.2, allocation: 'learned', refit: false }, context);
    const facts = factsOf(result);
    expect(facts.parameters_after! / facts.parameters_before!).toBeLessThanOrEqual(0.8);
    expect(facts.parameters_after! / facts.parameters_before!).toBeGreaterThan(0.79);
    expect(result.findings.some(({ kind }) => kind === 'fallback')).toBe(false);
    expect(() => factorizeStage.options.parse({ max_kl: 0.1, allocation: 'learned' })).toThrow('does without');
  });

  test('trains and rings of cores compete with two factors, and are taken where there is nothing else', async () => {
    const model = await tinyLlama();
    const context = contextFor(model, await tinyText(model, 'calibration', 8));
    const options = { ratio: 0.2, forms: ['tensor-train', 'tensor-ring'], targets: ['role:up'], refit: false };
    const result = await factorize(model, options, context);
    expect(verify(result.model.program)).toEqual([]);
    const facts = factsOf(result);
    expect(facts.parameters_after! / facts.parameters_before!).toBeLessThanOrEqual(0.8);
    expect(Number.isFinite(await klOf(result.model, model, await tinyText(model, 'evaluation', 4)))).toBe(true);
  });

  test('the correction leaves alone what is to be left alone', async () => {
    const model = await tinyLlama();
    const context = contextFor(model, await tinyText(model, 'calibration', 8));
    const result = await factorize(
      model,
      { ratio: 0.1, ignore: ['role:down', 'role:head', 'role:embedding'] },
      context,
    );
    const downs = (program: typeof model.program) => findSites(program).filter(({ role }) => role === 'down');
    const before = new Map(downs(model.program).map((site) => [site.name, readSiteMatrix(site)]));
    for (const site of downs(result.model.program)) expect(readSiteMatrix(site)).toEqual(before.get(site.name));
  });

  test('a limit of the predicted loss is kept, and a tighter one keeps more', async () => {
    const model = await tinyLlama();
    const context = contextFor(model, await tinyText(model, 'calibration', 24));
    const [tight, loose] = [
      factsOf(await factorize(model, { max_kl: 0.005, refit: false }, context)),
      factsOf(await factorize(model, { max_kl: 0.05, refit: false }, context)),
    ];
    expect(tight.predicted_loss).toBeLessThanOrEqual(0.005);
    expect(loose.predicted_loss).toBeLessThanOrEqual(0.05);
    expect(loose.parameters_after).toBeLessThan(tight.parameters_after!);
  });

  test('ranks are multiples where kernels want them', async () => {
    const model = await tinyLlama();
    const context = contextFor(model, await tinyText(model, 'calibration', 24));
    const { program } = (await factorize(model, { ratio: 0.3, rank_multiple: 4, refit: false }, context)).model;
    const ranks = findSites(program)
      .filter(({ name }) => name.endsWith('.right'))
      .map(({ rows }) => rows);
    expect(ranks.length).toBeGreaterThan(0);
    for (const rank of ranks) expect(rank % 4).toBe(0);
  });

  test('the same seed gives the same weights', async () => {
    const model = await tinyLlama();
    const weights = async (): Promise<string> => {
      const context = contextFor(model, await tinyText(model, 'calibration', 12));
      const { program } = (await factorize(model, { ratio: 0.2 }, context)).model;
      return [...program.graph.initializers]
        .map((value) => Buffer.from(value.tensor!.bytes()).toString('base64'))
        .join();
    };
    expect(await weights()).toBe(await weights());
  });
});

describe('bad input', () => {
  const tiny = (): Model => ({
    program: parseProgram(`program opset=21
      graph main(x: float32[batch, 4]) -> (y: float32[batch, 4]) {
        w: float32[4, 4] = random(seed=1)
        y = Relu(x)
      }`),
    family: undefined,
    config: undefined,
    companions: [],
    origin: 'test',
  });

  test('two budgets are one too many', () => {
    expect(() => factorizeStage.options.parse({ ratio: 0.2, max_kl: 0.1 })).toThrow('keep one');
    expect(() => factorizeStage.options.parse({ ratio: 1 })).toThrow();
    expect(() => factorizeStage.options.parse({ max_kl: 0.1, allocation: 'uniform' })).toThrow('predicted losses');
  });

  test('a model without weight products is refused', async () => {
    const model = await tinyLlama();
    const context = contextFor(model, await tinyText(model, 'calibration', 2));
    await expect(factorize(tiny(), { ratio: 0.2 }, context)).rejects.toThrow('no weight can be factorised');
  });

  test('a ratio that no ranks can meet says what the cheapest cost', async () => {
    const model = await tinyLlama();
    const context = contextFor(model, await tinyText(model, 'calibration', 12));
    await expect(factorize(model, { ratio: 0.999 }, context)).rejects.toThrow('cannot be met');
  });

  test('integers are left alone, with the right order in the reason', async () => {
    const model = await tinyLlama();
    const { quantizeStage } = await import('../../../src/stages/quantize/index.ts');
    const context = contextFor(model, await tinyText(model, 'calibration', 2));
    const options = quantizeStage.options.parse({ method: 'rtn', weights: { bits: 4, group_size: 32 } });
    const packed = await quantizeStage.run({ ...model, program: cloneProgram(model.program) }, options, context);
    const plan = factorizeStage.plan(packed.model, factorizeStage.options.parse({}));
    expect(plan.sites.some(({ reason }) => reason?.includes('factorise before quantizing'))).toBe(true);
    await expect(factorize(packed.model, {}, context)).rejects.toThrow('no weight can be factorised');
  });
});
