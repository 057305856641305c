import { describe, expect, test } from 'vitest';
import { measureCost } from '../../../src/analysis/cost.ts';
import { compactGraph } from '../../../src/artifact/formats/onnx/lower/compact.ts';
import { lowerToMatMulNBits } from '../../../src/artifact/formats/onnx/lower/matmulnbits.ts';
import { encodeProgram } from '../../../src/artifact/formats/onnx/write.ts';
import { WeightCosts } from '../../../src/curvature/removal/costs.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import type { Model } from '../../../src/ir/model.ts';
import { PackedTensor } from '../../../src/ir/packed-tensor.ts';
import { verify } from '../../../src/ir/verify.ts';
import { autoStage } from '../../../src/stages/auto/index.ts';
import type { StageContext, StageResult } from '../../../src/stages/stage.ts';
import { contextFor, klOf, tinyLlama, tinyText } from '../distill/workbench.ts';

const auto = (model: Model, written: unknown, context: StageContext): Promise<StageResult> =>
  autoStage.run(model, autoStage.options.parse(written), context);

const setUp = async (samples = 16) => {
  const model = await tinyLlama();
  return { model, context: contextFor(model, await tinyText(model, 'calibration', samples)) };
};

const factOf = ({ findings }: StageResult, name: string): number =>
  findings.find(({ facts }) => facts?.[name] !== undefined)!.facts![name] as number;

describe('structure', () => {
  test('kinds together lose less than each alone at the same number of parameters', async () => {
    const { model, context } = await setUp(32);
    const held = await tinyText(model, 'evaluation');
    const total = new WeightCosts(model.program, 'blocks').total.parameters;
    const losses = new Map<string, number>();
    for (const kinds of [['low-rank', 'removal'], ['low-rank'], ['removal']]) {
      const result = await auto(model, { block_parameters: 0.75, kinds }, context);
      expect(verify(result.model.program)).toEqual([]);
      expect(new WeightCosts(result.model.program, 'blocks').total.parameters / total).toBeLessThanOrEqual(0.75);
      losses.set(kinds.join(), await klOf(result.model, model, held));
    }
    const together = losses.get('low-rank,removal')!;
    expect(together).toBeLessThan(losses.get('low-rank')! * 1.02);
    expect(together).toBeLessThan(losses.get('removal')! * 1.02);
  });

  test.each(['parameters', 'operations', 'size'] as const)('keeps a budget of %s', async (key) => {
    const { model, context } = await setUp();
    const result = await auto(model, { [key]: 0.8, kinds: ['low-rank', 'removal'], refit: false }, context);
    const [before, after] = [new WeightCosts(model.program, 'all'), new WeightCosts(result.model.program, 'all')];
    const measure = key === 'size' ? 'bytes' : key;
    const share = after.total[measure] / before.total[measure];
    expect(share).toBeLessThanOrEqual(0.8 + 1e-6);
    expect(share).toBeGreaterThan(0.76);
  });

  test('deep budgets in several steps are met too', async () => {
    const { model, context } = await setUp();
    const result = await auto(model, { block_parameters: 0.5, steps: 2 }, context);
    const total = (one: Model): number => new WeightCosts(one.program, 'blocks').total.parameters;
    expect(total(result.model) / total(model)).toBeLessThanOrEqual(0.5);
    expect(factOf(result, 'measured_loss')).toBeGreaterThan(0);
  });

  test('a divergence that is allowed is kept where it is measured', async () => {
    const { model, context } = await setUp();
    const result = await auto(model, { max_kl: 0.05, kinds: ['low-rank', 'removal'] }, context);
    expect(factOf(result, 'measured_loss')).toBeLessThanOrEqual(0.05);
    expect(measureCost(result.model.program).parameters).toBeLessThan(measureCost(model.program).parameters * 0.98);
  });
});

describe('structure and bits in one allocation', () => {
  test('meets the bytes, with integers', async () => {
    const { model, context } = await setUp();
    const result = await auto(model, { size: 0.25 }, context);
    const [before, after] = [measureCost(model.program), measureCost(result.model.program)];
    expect(after.storedBytes / before.storedBytes).toBeLessThanOrEqual(0.25);
    expect(after.storedBytes / before.storedBytes).toBeGreaterThan(0.15);
    const packed = [...result.model.program.graph.initializers].filter(({ tensor }) => tensor instanceof PackedTensor);
    expect(packed.length).toBeGreaterThan(4);
    expect(await klOf(result.model, model, await tinyText(model, 'evaluation'))).toBeLessThan(0.3);
  });

  test('leaves what short names save to the weights, and says so where it is not asked to', async () => {
    const { model, context } = await setUp();
    const written = ({ program }: Model, compact: boolean): number => {
      const copy = cloneProgram(program);
      lowerToMatMulNBits(copy, { accuracyLevel: 0 });
      if (compact) compactGraph(copy);
      return encodeProgram(copy).byteLength;
    };
    const most = 0.25 * measureCost(model.program).storedBytes;
    const plain = await auto(model, { size: 0.25 }, context);
    const compact = await auto(model, { size: 0.25, compact: true }, context);
    expect(written(compact.model, true)).toBeLessThanOrEqual(most);
    expect(written(compact.model, false)).toBeGreaterThan(written(plain.model, false));
    const told = ({ findings }: StageResult): boolean =>
      findings.some(({ facts }) => facts?.bytes_of_names !== undefined);
    expect([told(plain), told(compact)]).toEqual([true, false]);
    const held = await tinyText(model, 'evaluation');
    expect(await klOf(compact.model, model, held)).toBeLessThan(await klOf(plain.model, model, held));
  });
});

describe('bad input', () => {
  test('exactly one budget', () => {
    expect(() => autoStage.options.parse({})).toThrow('say how small');
    expect(() => autoStage.options.parse({ size: 0.2, parameters: 0.5 })).toThrow('keep one');
    expect(() => autoStage.options.parse({ size: 1.2 })).toThrow();
    expect(() => autoStage.options.parse({ operations: 0.5, kinds: ['bits'] })).toThrow('bytes alone');
    expect(() => autoStage.options.parse({ size: 0.5, bits: [5] })).toThrow();
  });

  test('a budget that nothing can meet says what the cheapest options cost', async () => {
    const { model, context } = await setUp(8);
    await expect(auto(model, { parameters: 0.01, kinds: ['low-rank'], refit: false }, context)).rejects.toThrow(
      'cannot be met',
    );
  });

  test('a model that is quantized already is refused with the right order', async () => {
    const { model, context } = await setUp(8);
    const { quantizeStage } = await import('../../../src/stages/quantize/index.ts');
    const options = quantizeStage.options.parse({ method: 'rtn', weights: { bits: 4 } });
    const packed = await quantizeStage.run(model, options, context);
    await expect(auto(packed.model, { size: 0.1 }, context)).rejects.toThrow('quantized already');
  });
});
