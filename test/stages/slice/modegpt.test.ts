import { describe, expect, test } from 'vitest';
import { readSiteMatrix, writeSiteMatrix } from '../../../src/analysis/site-weights.ts';
import { findSites } from '../../../src/analysis/sites.ts';
import { openDataset } from '../../../src/calibration/samples/table.ts';
import { WeightCosts } from '../../../src/curvature/removal/costs.ts';
import { inputSignature } from '../../../src/execution/signature.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import { setConstant } from '../../../src/ir/edit/replace.ts';
import type { Program } from '../../../src/ir/graph.ts';
import type { Model } from '../../../src/ir/model.ts';
import { floatTensor, readFloats } from '../../../src/ir/read.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { verify } from '../../../src/ir/verify.ts';
import { findAttentions } from '../../../src/stages/slice/transforms/modegpt/attention.ts';
import { largestDifference, randomFeeds, runProgram } from '../../ir/run.ts';
import { contextFor, measured, slice, tinyLlama, tinyText } from './workbench.ts';

/** Sets the rows (outputs) of sites of a role that `gone` names to zero. */
const clearRows = (program: Program, role: string, gone: (row: number) => boolean): void => {
  for (const site of findSites(program).filter((one) => one.role === role)) {
    const matrix = Float32Array.from(readSiteMatrix(site), (value, index) =>
      gone(Math.floor(index / site.columns)) ? 0 : value,
    );
    writeSiteMatrix(site, matrix);
  }
};

/** One attention of two heads of four dimensions, with biases and without positions. */
const plainAttention = (middle = ''): string => `program opset=21
graph main(x: float32[batch, time, 8]) -> (y: float32[batch, time, 8]) {
  wq: float32[8, 8] = random(seed=1)
  wk: float32[8, 8] = random(seed=2)
  wv: float32[8, 8] = random(seed=3)
  wo: float32[8, 8] = random(seed=4)
  bq: float32[8] = random(seed=5)
  bk: float32[8] = random(seed=6)
  heads: int64[4] = [0, 0, 2, 4]
  flat: int64[3] = [0, 0, 8]
  scale: float32 = 0.5
  q0 = MatMul(x, wq)
  q1 = Add(q0, bq)
  q2 = Reshape(q1, heads)
  q3 = Transpose(q2, perm=[0, 2, 1, 3])
  ${middle || 'q4 = Mul(q3, scale)'}
  k0 = MatMul(x, wk)
  k1 = Add(k0, bk)
  k2 = Reshape(k1, heads)
  k3 = Transpose(k2, perm=[0, 2, 3, 1])
  v0 = MatMul(x, wv)
  v1 = Reshape(v0, heads)
  v2 = Transpose(v1, perm=[0, 2, 1, 3])
  s = MatMul(q4, k3)
  p = Softmax(s, axis=-1)
  m = MatMul(p, v2)
  o0 = Transpose(m, perm=[0, 2, 1, 3])
  o1 = Reshape(o0, flat)
  o = MatMul(o1, wo)
  y = Add(x, o)
}`;

describe('an attention in plain operators', () => {
  const context = async (program: Program) =>
    contextFor(
      await openDataset(
        { random: null, samples: 8, window: 12 },
        { baseDirectory: '/', seed: 3, modelInputs: inputSignature(program), vocabulary: undefined },
      ),
    );
  const modelOf = (program: Program): Model => ({
    program,
    family: undefined,
    config: undefined,
    companions: [],
    origin: 'text',
  });
  const options = { ratio: 0.5, method: 'modegpt', allocation: 'uniform', refit: false };

  test('loses the dimensions that do nothing, with their biases, and computes what it did', async () => {
    const program = parseProgram(plainAttention());
    const sites = findSites(program);
    const zero = (name: string, gone: (row: number) => boolean): void => {
      const site = sites.find(({ weight }) => weight.name === name)!;
      writeSiteMatrix(
        site,
        readSiteMatrix(site).map((value, index) => (gone(Math.floor(index / site.columns)) ? 0 : value)),
      );
      const bias = [...program.graph.initializers].find(({ name: own }) => own === name.replace('w', 'b'));
      if (bias)
        setConstant(
          bias,
          floatTensor(
            [8],
            Float32Array.from(readFloats(bias.tensor!), (value, row) => (gone(row) ? 0 : value)),
          ),
        );
    };
    zero('wq', (row) => row % 4 > 1);
    zero('wv', (row) => row % 4 > 1);
    const { model: cut } = await slice(modelOf(program), options, await context(program));
    expect(verify(cut.program)).toEqual([]);
    expect(findSites(cut.program).map(({ rows, columns }) => [rows, columns])).toEqual([
      [4, 8],
      [4, 8],
      [4, 8],
      [8, 4],
    ]);
    const feeds = randomFeeds(program, { x: [2, 5, 8] });
    const [before, after] = [await runProgram(program, feeds), await runProgram(cut.program, feeds)];
    expect(largestDifference(before.get('y')!, after.get('y'))).toBeLessThan(1e-3);
  });

  test('keeps its heads, with the reason, where something unknown meets them', async () => {
    const program = parseProgram(plainAttention('q4 = Relu(q3)'));
    const { found, left } = findAttentions(program);
    expect(found).toEqual([]);
    expect(left[0]!.reason).toBe('Relu stands between products and heads');
    await expect(slice(modelOf(program), options, await context(program))).rejects.toThrow('neither attentions');
  });
});

describe('modegpt on the language fixture', async () => {
  const model = await tinyLlama();
  const calibration = await tinyText(model, 'calibration', 16);
  const evaluation = await tinyText(model, 'evaluation', 8);
  const share = (program: Program): number =>
    new WeightCosts(program, 'blocks').total.parameters / new WeightCosts(model.program, 'blocks').total.parameters;

  test('finds every attention, with what the heads share and that positions turn them', () => {
    const { found, left } = findAttentions(model.program);
    expect(left).toEqual([]);
    expect(found).toHaveLength(3);
    for (const { query, key, value, output, rotary } of found) {
      expect(rotary).toBe(true);
      expect([query.site.role, key.site.role, value.site.role, output.site.role]).toEqual(['q', 'k', 'v', 'o']);
      expect(query.heads * query.size).toBe(query.site.rows);
      expect(key.heads).toBe(value.heads);
    }
  });

  test('half of everything goes without a trace where half of everything does nothing', async () => {
    const idle = { ...model, program: cloneProgram(model.program) };
    const [{ query, value }] = findAttentions(model.program).found as [ReturnType<typeof findAttentions>['found'][0]];
    const half = query.size / 2;
    clearRows(idle.program, 'q', (row) => row % half >= half / 2);
    clearRows(idle.program, 'v', (row) => row % value.size >= value.size / 2);
    clearRows(idle.program, 'up', (row) => row % 2 === 1);
    const options = { ratio: 0.5, method: 'modegpt', allocation: 'uniform', refit: false, damp: 1e-6 };
    const { model: cut } = await slice(idle, options, contextFor(calibration));
    expect(verify(cut.program)).toEqual([]);
    expect(share(cut.program)).toBeLessThanOrEqual(0.5);
    const feeds = randomFeeds(model.program, { input_ids: [2, 11] });
    const [before, after] = [await runProgram(idle.program, feeds), await runProgram(cut.program, feeds)];
    expect(largestDifference(before.get('logits')!, after.get('logits'))).toBeLessThan(2e-3);
  });

  test('keeps the ratio, names what heads keep, and the refit gains on it', async () => {
    const bare = await slice(model, { ratio: 0.25, method: 'modegpt', refit: false }, contextFor(calibration));
    const refitted = await slice(model, { ratio: 0.25, method: 'modegpt' }, contextFor(calibration));
    for (const { model: cut, findings } of [bare, refitted]) {
      expect(verify(cut.program)).toEqual([]);
      expect(share(cut.program)).toBeLessThanOrEqual(0.75);
      expect(share(cut.program)).toBeGreaterThan(0.6);
      expect(findings.filter(({ text }) => text.startsWith('heads keep'))).toHaveLength(3);
    }
    expect(await measured('kl', refitted.model, model, evaluation)).toBeLessThan(
      await measured('kl', bare.model, model, evaluation),
    );
  });

  test('a ratio that is too deep says what stays at most', async () => {
    await expect(slice(model, { ratio: 0.97, method: 'modegpt' }, contextFor(calibration))).rejects.toThrow(
      'less than a fifth',
    );
  });

  test('a model without attention or neurons is refused', async () => {
    const program = parseProgram(`program opset=21
graph main(x: float32[batch, 4]) -> (y: float32[batch, 4]) {
  w: float32[4, 4] = random(seed=1)
  y = MatMul(x, w)
}`);
    await expect(
      slice({ ...model, program }, { ratio: 0.2, method: 'modegpt' }, contextFor(calibration)),
    ).rejects.toThrow('neither attentions nor neurons');
  });
});
