import { describe, expect, test } from 'vitest';
import { onnxruntimeEngine } from '../../../src/execution/onnxruntime.ts';
import type { Model } from '../../../src/ir/model.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { verify } from '../../../src/ir/verify.ts';
import { nodesWithin } from '../../../src/ir/walk.ts';
import { evaluate } from '../../../src/metrics/evaluate.ts';
import { exitsStage } from '../../../src/stages/exits/index.ts';
import { quantizeStage } from '../../../src/stages/quantize/index.ts';
import type { StageContext, StageResult } from '../../../src/stages/stage.ts';
import { contextFor, measured, tinyCnn, tinyLlama, tinyPictures, tinyText } from '../slice/workbench.ts';

const exits = (model: Model, written: unknown, context: StageContext): Promise<StageResult> =>
  exitsStage.run(model, exitsStage.options.parse(written), context);

const numberOf = ({ findings }: StageResult, key: string): number =>
  findings.find(({ facts }) => facts?.[key] !== undefined)!.facts![key] as number;

describe('on the vision fixture', async () => {
  const model = await tinyCnn();
  const calibration = await tinyPictures(model, 'calibration', 120);
  const evaluation = await tinyPictures(model, 'evaluation', 100);

  test('the expected operations keep to the budget, and most answers stay', async () => {
    const result = await exits(model, { after: [0, 1], operations: 0.95 }, contextFor(calibration));
    expect(verify(result.model.program)).toEqual([]);
    expect(numberOf(result, 'expected_operations')).toBeLessThanOrEqual(0.95);
    const agreement = await measured('agreement', result.model, model, evaluation);
    expect(agreement).toBeGreaterThan(numberOf(result, 'expected_agreement') - 0.12);
    expect(agreement).toBeGreaterThan(0.7);
  });

  test('what is sure leaves, and what leaves is not computed: the rest stands in a branch', async () => {
    const { model: early } = await exits(model, { after: [0, 1], operations: 0.95 }, contextFor(calibration));
    const [choice] = early.program.graph.nodes.filter(({ op }) => op === 'If');
    const [leave, stay] = choice!.subgraphs();
    expect([...nodesWithin(leave!)].map(({ op }) => op)).toEqual(['Identity']);
    expect([...nodesWithin(stay!)].length).toBeGreaterThan(1);
    const outer = early.program.graph.nodes.filter(({ op }) => op === 'Conv').length;
    const all = [...nodesWithin(early.program.graph)].filter(({ op }) => op === 'Conv').length;
    expect(outer).toBeLessThan(all);
  });

  test('a budget that loses nothing leaves the model as it is', async () => {
    const { model: early } = await exits(model, { after: [0, 1], kl: 1e-12 }, contextFor(calibration));
    expect(await measured('kl', early, model, evaluation)).toBeLessThan(1e-6);
  });

  test('quantized models can be left early too', async () => {
    const rounded = quantizeStage.options.parse({ method: 'rtn', weights: { bits: 8 } });
    const { model: packed } = await quantizeStage.run(model, rounded, contextFor(calibration));
    const { model: early } = await exits(packed, { after: [0, 1], operations: 0.95 }, contextFor(calibration));
    expect(verify(early.program)).toEqual([]);
    expect([...early.program.graph.initializers].some(({ tensor }) => tensor?.kind === 'packed')).toBe(true);
    expect(await measured('agreement', early, model, evaluation)).toBeGreaterThan(0.7);
  });

  test('a budget below the first exit is refused with the least', async () => {
    await expect(exits(model, { after: 1, operations: 0.01 }, contextFor(calibration))).rejects.toThrow(
      'cannot be met: leaving at the first exit already costs',
    );
  });
});

test('windows of a language model leave where every position is sure', async () => {
  const model = await tinyLlama();
  const calibration = await tinyText(model, 'calibration', 24);
  const evaluation = await tinyText(model, 'evaluation', 8);
  const { model: early, findings } = await exits(model, { after: [1], kl: 10 }, contextFor(calibration));
  expect(verify(early.program)).toEqual([]);
  expect(findings[0]!.text).toContain('exits behind');
  const [result] = await evaluate({
    program: early.program,
    reference: model.program,
    dataset: evaluation,
    metrics: ['kl'],
    engine: onnxruntimeEngine,
    emit: () => undefined,
  });
  expect(result!.value).toBeGreaterThan(0);
  expect(result!.value).toBeLessThan(3);
});

describe('bad input', () => {
  const twoOutputs: Model = {
    program: parseProgram(`program opset=21
graph g(x: float32[n, 6]) -> (y: float32[n, 4], z: float32[n, 4]) {
  w: float32[6, 4] = random(seed=1)
  y = MatMul(x, w) { name: "y" }
  z = Relu(y)
}`),
    family: undefined,
    config: undefined,
    companions: [],
    origin: 'text',
  };

  test('a model with several outputs is refused', () => {
    expect(() => exitsStage.plan(twoOutputs, exitsStage.options.parse({}))).toThrow('one output');
  });

  test('a place that is none is named with those that are', async () => {
    const model = await tinyLlama();
    expect(() => exitsStage.plan(model, exitsStage.options.parse({ after: [99] }))).toThrow('behind block 99');
  });

  test('two budgets at once, and shares that are none', () => {
    expect(() => exitsStage.options.parse({ operations: 0.5, kl: 1 })).toThrow('one budget');
    expect(() => exitsStage.options.parse({ operations: 1.5 })).toThrow();
  });
});
