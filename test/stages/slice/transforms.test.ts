import { describe, expect, test } from 'vitest';
import { findSites } from '../../../src/analysis/sites.ts';
import { WeightCosts } from '../../../src/curvature/removal/costs.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { verify } from '../../../src/ir/verify.ts';
import { sliceStream } from '../../../src/stages/slice/transforms/slicegpt.ts';
import { largestDifference, randomFeeds, runProgram } from '../../ir/run.ts';
import { contextFor, measured, slice, tinyLlama, tinyText } from './workbench.ts';

describe('transforms of the language fixture', async () => {
  const model = await tinyLlama();
  const calibration = await tinyText(model, 'calibration', 16);
  const evaluation = await tinyText(model, 'evaluation', 8);
  const blockShare = (program: typeof model.program): number =>
    new WeightCosts(program, 'blocks').total.parameters / new WeightCosts(model.program, 'blocks').total.parameters;

  test('a rotation of every state of the stream leaves outputs equal', async () => {
    const program = cloneProgram(model.program);
    await sliceStream(program, 64, contextFor(calibration));
    expect(verify(program)).toEqual([]);
    const feeds = randomFeeds(model.program, { input_ids: [2, 11] });
    const [before, after] = [await runProgram(model.program, feeds), await runProgram(program, feeds)];
    const logits = before.get('logits')!;
    expect(largestDifference(logits, after.get('logits'))).toBeLessThan(1e-3);
    expect(blockShare(program)).toBeGreaterThan(1);
  });

  test('a narrower stream keeps most of what the model knows, within the ratio', async () => {
    const { model: cut, findings } = await slice(model, { ratio: 0.05, method: 'slicegpt' }, contextFor(calibration));
    expect(blockShare(cut.program)).toBeLessThanOrEqual(0.95);
    expect(findings.some(({ text }) => /^the residual stream keeps \d\d dimensions$/.test(text))).toBe(true);
    expect(await measured('perplexity', cut, model, evaluation)).toBeLessThan(100);
    expect(findSites(cut.program).length).toBe(findSites(model.program).length + 6);
  });

  test.each(['blocks-loss', 'blocks-influence'])('%s takes whole blocks', async (method) => {
    const { model: cut, findings } = await slice(model, { ratio: 0.3, method, refit: false }, contextFor(calibration));
    expect(blockShare(cut.program)).toBeCloseTo(2 / 3, 5);
    const removed = findings.filter(({ text }) => /^block \d removed/.test(text));
    expect(removed).toHaveLength(1);
    const left = new Set(findSites(cut.program).flatMap(({ block }) => block ?? []));
    expect(left.size).toBe(2);
  });

  test('of all blocks the measured loss takes the one that the model misses least', async () => {
    const { model: best } = await slice(
      model,
      { ratio: 0.3, method: 'blocks-loss', refit: false },
      contextFor(calibration),
    );
    const { model: other } = await slice(
      model,
      { ratio: 0.3, method: 'blocks-influence', refit: false },
      contextFor(calibration),
    );
    expect(await measured('kl', best, model, evaluation)).toBeLessThanOrEqual(
      (await measured('kl', other, model, evaluation)) + 1e-6,
    );
  });

  test('a ratio that would leave no block is refused', async () => {
    await expect(slice(model, { ratio: 0.9, method: 'blocks-influence' }, contextFor(calibration))).rejects.toThrow(
      /would leave no block/,
    );
  });

  test('a graph without a normalised stream cannot be rotated', async () => {
    const program = parseProgram(`program opset=21
graph g(ids: int64[n, s]) -> (y) {
  e: float32[11, 6] = random(seed=1)
  w: float32[6, 6] = random(seed=2)
  x = Gather(e, ids)
  r = MatMul(x, w) { name: "r" }
  z = Add(x, r)
  y = MatMul(z, w) { name: "head" }
}`);
    const foreign = { ...model, program };
    await expect(slice(foreign, { ratio: 0.1, method: 'slicegpt' }, contextFor(calibration))).rejects.toMatchObject({
      code: 'unsupported',
    });
  });
});
