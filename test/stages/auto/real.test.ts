import { describe, expect, test } from 'vitest';
import { measureCost } from '../../../src/analysis/cost.ts';
import { encodeProgram } from '../../../src/artifact/formats/onnx/write.ts';
import { openModel } from '../../../src/artifact/open.ts';
import type { Dataset } from '../../../src/calibration/dataset.ts';
import { openDataset } from '../../../src/calibration/samples/table.ts';
import { WeightCosts } from '../../../src/curvature/removal/costs.ts';
import { inputSignature } from '../../../src/execution/signature.ts';
import type { Model } from '../../../src/ir/model.ts';
import { verify } from '../../../src/ir/verify.ts';
import { autoStage } from '../../../src/stages/auto/index.ts';
import { memoryStore } from '../../../src/stages/memory-store.ts';
import type { StageContext, StageResult } from '../../../src/stages/stage.ts';
import { sharedData } from '../../shared.ts';
import { contextFor, klOf } from '../distill/workbench.ts';

const stories = sharedData('llm-stories260k');
const pictures = sharedData('vision-cifar10-resnet');

const run = (model: Model, written: unknown, context: StageContext): Promise<StageResult> =>
  autoStage.run(model, autoStage.options.parse(written), context);

const factOf = ({ findings }: StageResult, name: string): number =>
  findings.find(({ facts }) => facts?.[name] !== undefined)!.facts![name] as number;

describe.skipIf(!stories)('a language model (needs ../shared/data/llm-stories260k)', { timeout: 180_000 }, () => {
  const shared = memoryStore();
  const open = async (samples = 8): Promise<{ model: Model; context: StageContext; held: Dataset }> => {
    const model = await openModel(stories!);
    const data = (file: string, extra: object): Promise<Dataset> =>
      openDataset(
        { tokens: `${stories}/eval/${file}`, bos: 1, window: 128, ...extra },
        { baseDirectory: '.', seed: 0, modelInputs: inputSignature(model.program) },
      );
    const context = contextFor(model, await data('tinystories-train-sample.u16', { samples, shuffle: true }));
    const held = await data('tinystories-valid-19stories.u16', { split: 1, samples: 4 });
    return { model, context: { ...context, shared }, held };
  };

  test('a share of the block parameters, by ranks and removal together, near to what is predicted', async () => {
    const { model, context, held } = await open();
    const result = await run(model, { block_parameters: 0.9 }, context);
    const blocks = (one: Model): number => new WeightCosts(one.program, 'blocks').total.parameters;
    expect(verify(result.model.program)).toEqual([]);
    expect(blocks(result.model) / blocks(model)).toBeLessThanOrEqual(0.9);
    expect(blocks(result.model) / blocks(model)).toBeGreaterThan(0.89);
    const kl = await klOf(result.model, model, held);
    expect(kl).toBeLessThan(0.25);
    expect(kl / factOf(result, 'predicted_loss')).toBeGreaterThan(0.3);
    expect(kl / factOf(result, 'predicted_loss')).toBeLessThan(4);
  });

  test('a share of all bytes, the written file and its graph among them', async () => {
    const { model, context, held } = await open();
    const result = await run(model, { size: 0.3, bits: [4], group_sizes: [32], refit: false }, context);
    const { storedBytes } = measureCost(model.program);
    expect(measureCost(result.model.program).storedBytes).toBeLessThan(0.26 * storedBytes);
    expect(await klOf(result.model, model, held)).toBeLessThan(0.1);
  });

  test('a share of the operations', async () => {
    const { model, context } = await open();
    const result = await run(model, { operations: 0.9, refit: false }, context);
    const operations = (one: Model): number => new WeightCosts(one.program, 'all').total.operations;
    const share = operations(result.model) / operations(model);
    expect(share).toBeLessThanOrEqual(0.9);
    expect(share).toBeGreaterThan(0.88);
  });

  test('a share of the time names what was tried on this machine', async () => {
    const { model, context } = await open();
    const result = await run(model, { latency: 0.95, kinds: ['removal'], refit: false }, context);
    const tried = result.findings.filter(({ text }) => text.includes('of the time'));
    expect(tried.length).toBeGreaterThan(0);
    expect(encodeProgram(result.model.program).byteLength).toBeLessThan(encodeProgram(model.program).byteLength);
  });

  test('a divergence that is allowed', async () => {
    const { model, context } = await open();
    const result = await run(model, { max_kl: 0.05, kinds: ['low-rank'], refit: false }, context);
    expect(factOf(result, 'measured_loss')).toBeLessThanOrEqual(0.05);
    expect(measureCost(result.model.program).parameters).toBeLessThan(0.98 * measureCost(model.program).parameters);
  });

  test('healing brings a deep cut nearer to the original', async () => {
    const { model, context, held } = await open(64);
    const options = { parameters: 0.75, kinds: ['removal'], steps: 1, refit: false };
    const cut = await run(model, options, context);
    const healed = await run(model, { ...options, heal: { steps: 60 } }, context);
    expect(await klOf(healed.model, model, held)).toBeLessThan(await klOf(cut.model, model, held));
  });

  test('budgets are forecast before anything is changed, the looser the cheaper', async () => {
    const { model, context } = await open();
    const options = autoStage.options.parse({ parameters: 0.8 });
    const { measure, points } = await autoStage.forecast!(model, options, context);
    expect(measure).toBe('parameters');
    expect(points[0]!.share).toBe(0.9);
    expect(points.length).toBeGreaterThan(6);
    points.slice(1).forEach(({ loss }, index) => {
      expect(loss).toBeGreaterThan(points[index]!.loss);
    });
    expect(Object.keys(points[1]!.kinds)).toContain('low-rank');
  });
});

describe.skipIf(!pictures)('a vision model (needs ../shared/data/vision-cifar10-resnet)', { timeout: 180_000 }, () => {
  test('a share of the operations of convolutions goes, by forms of several factors and channels', async () => {
    const model = await openModel(`${pictures}/resnet20_cifar10.onnx`);
    const calibration = await openDataset(
      {
        records: `${pictures}/cifar10_train_lossless_1000.bin`,
        format: 'cifar10',
        preprocessing: { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
        samples: 8,
      },
      { baseDirectory: '.', seed: 0, modelInputs: inputSignature(model.program) },
    );
    const result = await run(
      model,
      { operations: 0.93, targets: ['layer1.*', 'layer2.*'], refit: false },
      contextFor(model, calibration),
    );
    const operations = (one: Model): number => new WeightCosts(one.program, 'all').total.operations;
    expect(verify(result.model.program)).toEqual([]);
    expect(operations(result.model) / operations(model)).toBeLessThanOrEqual(0.93 + 1e-6);
    expect(await klOf(result.model, model, calibration)).toBeLessThan(1);
  });
});
