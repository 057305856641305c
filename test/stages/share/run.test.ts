import { describe, expect, test } from 'vitest';
import { measureCost } from '../../../src/analysis/cost.ts';
import { findSites } from '../../../src/analysis/sites.ts';
import type { Model } from '../../../src/ir/model.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { verify } from '../../../src/ir/verify.ts';
import { matmul } from '../../../src/kernels/index.ts';
import { Random } from '../../../src/random.ts';
import { quantizeStage } from '../../../src/stages/quantize/index.ts';
import { shareStage } from '../../../src/stages/share/index.ts';
import { type SharingMethodName, sharingMethods } from '../../../src/stages/share/methods/index.ts';
import type { SharedWeights, SharingInput } from '../../../src/stages/share/methods/method.ts';
import { shareSites } from '../../../src/stages/share/share-sites.ts';
import type { StageContext, StageResult } from '../../../src/stages/stage.ts';
import { contextFor, klOf, tinyLlama, tinyText } from '../distill/workbench.ts';

const share = (model: Model, written: unknown, context: StageContext): Promise<StageResult> =>
  shareStage.run(model, shareStage.options.parse(written), context);

const [rows, columns] = [6, 5];

const moment = async (n: number, name: string): Promise<Float64Array> => {
  const x = Float64Array.from(new Random(3, name).normals(3 * n * n));
  return matmul({ a: x, rows: n, inner: 3 * n, b: x, columns: n, transposeA: true });
};

const scene = async (count = 3): Promise<SharingInput> => ({
  layers: await Promise.all(
    Array.from({ length: count }, async (_, layer) => ({
      weight: Float64Array.from(new Random(5, `weight ${layer}`).normals(rows * columns)),
      moments: { a: await moment(columns, `a ${layer}`), b: await moment(rows, `b ${layer}`), scale: 0.5 },
    })),
  ),
  rows,
  columns,
  signal: new AbortController().signal,
});

/** The weight of every layer that shared weights stand for. */
const expand = async (weights: SharedWeights): Promise<Float64Array[]> => {
  if (weights.kind === 'basis')
    return Promise.all(
      weights.coefficients.map((c) => matmul({ a: c, rows, inner: weights.rank, b: weights.basis, columns })),
    );
  return Promise.all(
    weights.coefficients.map(async (factors, layer) => {
      const rest = weights.residuals[layer];
      const whole = rest
        ? Float64Array.from(await matmul({ a: rest.left, rows, inner: rest.rank, b: rest.right, columns }))
        : new Float64Array(rows * columns);
      weights.atoms.forEach((atom, number) => {
        for (let index = 0; index < whole.length; index++) whole[index]! += factors[number]! * atom[index]!;
      });
      return whole;
    }),
  );
};

const quadratic = async (d: Float64Array, a: Float64Array, b: Float64Array): Promise<number> => {
  const da = await matmul({ a: d, rows, inner: columns, b: a, columns });
  const bda = await matmul({ a: b, rows, inner: rows, b: da, columns });
  return d.reduce((sum, value, index) => sum + value * bda[index]!, 0);
};

const names = Object.keys(sharingMethods) as SharingMethodName[];

describe.each(names)('method %s', (name) => {
  test('everything that may be private or shared is exact', async () => {
    const input = await scene();
    const options = await sharingMethods[name].options(input, { atoms: undefined, residual: true });
    const most = options.reduce((a, b) => (b.loss < a.loss ? b : a));
    const weights = await expand(await most.weights());
    weights.forEach((weight, layer) => {
      weight.forEach((value, index) => {
        expect(value).toBeCloseTo(input.layers[layer]!.weight[index]!, 4);
      });
    });
  });

  test('the predicted loss is that of the weights that come out', async () => {
    const input = await scene();
    const options = await sharingMethods[name].options(input, { atoms: undefined, residual: true });
    for (const option of [options[0]!, options[Math.floor(options.length / 2)]!]) {
      const weights = await expand(await option.weights());
      let loss = 0;
      for (const [layer, { weight, moments }] of input.layers.entries()) {
        const delta = weight.map((value, index) => value - weights[layer]![index]!);
        loss += 0.5 * (await quadratic(delta, moments.a, moments.b!));
      }
      expect(option.loss / loss).toBeCloseTo(1, 4);
    }
  });

  // A basis leaves coefficients to every layer, whatever they are.
  test.skipIf(name === 'basis')('layers that are alike share at no loss', async () => {
    const input = await scene();
    const alike = { ...input, layers: input.layers.map((layer) => ({ ...layer, weight: input.layers[0]!.weight })) };
    const options = await sharingMethods[name].options(alike, { atoms: 1, residual: false });
    const free = options.filter(({ loss }) => loss < 1e-6);
    expect(Math.min(...free.map(({ parameters }) => parameters))).toBeLessThan(3 * rows * columns);
  });
});

test('atoms at full number are exact without private products', async () => {
  const input = await scene();
  const [only] = await sharingMethods.atoms.options(input, { atoms: 3, residual: false });
  const weights = await expand(await only!.weights());
  weights.forEach((weight, layer) => {
    weight.forEach((value, index) => {
      expect(value).toBeCloseTo(input.layers[layer]!.weight[index]!, 6);
    });
  });
});

describe('on a language model', () => {
  test.each(names)('%s keeps the ratio on disk, with constants that several layers read', async (method) => {
    const model = await tinyLlama();
    const context = contextFor(model, await tinyText(model, 'calibration', 12));
    const { model: shared, findings } = await share(
      model,
      {
        method,
        ratio: 0.2,
        refit: false,
        group: method === 'linear' ? 'all' : 2,
        own_factors: false,
        targets: ['role:q', 'role:k', 'role:gate', 'role:up'],
      },
      context,
    );
    expect(verify(shared.program)).toEqual([]);
    const facts = findings.find(({ facts }) => facts?.parameters_after !== undefined)!.facts as Record<string, number>;
    expect(facts.parameters_after! / facts.parameters_before!).toBeLessThanOrEqual(0.8);
    const saved = measureCost(model.program).parameters - measureCost(shared.program).parameters;
    // Shapes of mixed weights are a few integers more.
    expect(saved / (facts.parameters_before! - facts.parameters_after!)).toBeGreaterThan(0.95);
    const several = [...shared.program.graph.initializers].filter(
      ({ name, uses }) => uses.length > 1 && /basis|shared/.test(name),
    );
    expect(several.length).toBeGreaterThan(0);
    const sizes = findings.find(({ facts }) => facts?.memory_bytes_after !== undefined)!.facts as Record<
      string,
      number
    >;
    expect(sizes.bytes_after).toBe(measureCost(shared.program).storedBytes);
    // What layers mix is held once for each of them; what they read as it is, once.
    if (method === 'atoms' || method === 'linear')
      expect(sizes.memory_bytes_after! / sizes.bytes_after!).toBeGreaterThan(1.05);
    if (method === 'basis' || method === 'tied') expect(sizes.memory_bytes_after).toBe(sizes.bytes_after);
    const divergence = await klOf(shared, model, await tinyText(model, 'evaluation', 8));
    expect(divergence).toBeLessThan(1);
    expect(divergence).toBeGreaterThan(0);
  });

  test('the refit never touches what is shared, and does not make the model worse', async () => {
    const model = await tinyLlama();
    const context = contextFor(model, await tinyText(model, 'calibration', 96));
    const held = await tinyText(model, 'evaluation', 12);
    const written = { method: 'tied', ratio: 0.25 };
    const bare = await share(model, { ...written, refit: false }, context);
    const refitted = await share(model, written, context);
    const sharedOf = ({ program }: Model): string[] =>
      [...program.graph.initializers]
        .filter(({ name }) => name.endsWith('.shared'))
        .map(({ tensor }) => Buffer.from(tensor!.bytes()).toString('base64'));
    expect(sharedOf(refitted.model)).toEqual(sharedOf(bare.model));
    expect(await klOf(refitted.model, model, held)).toBeLessThan((await klOf(bare.model, model, held)) * 1.02);
  });
});

describe('bad input', () => {
  test('layers whose shapes forbid sharing are named', () => {
    const program = parseProgram(`program opset=21
      graph main(x: float32[batch, 6]) -> (y: float32[batch, 6]) {
        a: float32[6, 8] = random(seed=1)
        b: float32[8, 6] = random(seed=2)
        c: float32[6, 9] = random(seed=3)
        d: float32[9, 6] = random(seed=4)
        h = MatMul(x, a) { name: "up0", role: "up", block: "0" }
        i = MatMul(h, b) { name: "down0", role: "down", block: "0" }
        j = MatMul(i, c) { name: "up1", role: "up", block: "1" }
        y = MatMul(j, d) { name: "down1", role: "down", block: "1" }
      }`);
    const model: Model = { program, family: undefined, config: undefined, companions: [], origin: 'test' };
    const plan = shareStage.plan(model, shareStage.options.parse({}));
    expect(plan.sites.map(({ reason }) => reason)).toEqual(
      expect.arrayContaining([expect.stringContaining('their shapes forbid sharing')]),
    );
  });

  test('a model without repeated layers is refused with the reason', async () => {
    const program = parseProgram(`program opset=21
      graph main(x: float32[batch, 6]) -> (y: float32[batch, 8]) {
        a: float32[6, 8] = random(seed=1)
        y = MatMul(x, a)
      }`);
    const model = await tinyLlama();
    const context = contextFor(model, await tinyText(model, 'calibration', 2));
    const single: Model = { program, family: undefined, config: undefined, companions: [], origin: 'test' };
    await expect(share(single, {}, context)).rejects.toThrow('no layers can share weights');
  });

  test('a ratio that cannot be met says what the least costs', async () => {
    const model = await tinyLlama();
    const context = contextFor(model, await tinyText(model, 'calibration', 4));
    await expect(
      share(model, { method: 'tied', ratio: 0.9, residual: false, own_factors: false }, context),
    ).rejects.toThrow('cannot be met');
  });

  test('a quantized model is refused with the reason', async () => {
    const model = await tinyLlama();
    const context = contextFor(model, await tinyText(model, 'calibration', 2));
    const rounded = quantizeStage.options.parse({ method: 'rtn', weights: { bits: 4, group_size: 32 } });
    const { model: packed } = await quantizeStage.run(model, rounded, context);
    await expect(share(packed, {}, context)).rejects.toMatchObject({
      message: 'no layers can share weights',
      hint: expect.stringContaining('before quantizing'),
    });
  });

  test('options are strict', () => {
    expect(() => shareStage.options.parse({ ratio: 1 })).toThrow();
    expect(() => shareStage.options.parse({ group: 1 })).toThrow();
    expect(() => shareStage.options.parse({ method: 'bases' })).toThrow();
  });
});

test('a bias and a transposed weight stay what they are when weights are shared', async () => {
  const text = `program opset=21
    graph main(x: float32[4, 5]) -> (y: float32[4, 6]) {
      a: float32[6, 5] = random(seed=1)
      b: float32[6] = random(seed=2)
      y = Gemm(x, a, b, transB=1) { name: "up", role: "up", block: "0" }
    }`;
  const program = parseProgram(text);
  const input = await scene(1);
  const [site] = findSites(program);
  const { readSiteMatrix } = await import('../../../src/analysis/site-weights.ts');
  const weight = Float64Array.from(readSiteMatrix(site!));
  const options = await sharingMethods.tied.options(
    { ...input, layers: [{ ...input.layers[0]!, weight: weight.map((value) => value / 2) }] },
    { atoms: undefined, residual: true },
  );
  const weights = (await options.at(-1)!.weights()) as Extract<SharedWeights, { kind: 'atoms' }>;
  shareSites([site!], { ...weights, coefficients: [[1]] });
  expect(verify(program)).toEqual([]);
  const [again] = findSites(program);
  expect(again!.name).toBe('up');
  expect([...readSiteMatrix(again!)].map((value, index) => Math.abs(value - weight[index]! / 2) < 1e-6)).not.toContain(
    false,
  );
});
