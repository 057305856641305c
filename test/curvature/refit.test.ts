import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findResidualWriters } from '../../src/analysis/residual-writers.ts';
import { readSiteMatrix, writeSiteMatrix } from '../../src/analysis/site-weights.ts';
import { findSites, type Site } from '../../src/analysis/sites.ts';
import type { Dataset } from '../../src/calibration/dataset.ts';
import { openDataset } from '../../src/calibration/samples/table.ts';
import { chooseRidge, ridgeCorrection } from '../../src/curvature/refit.ts';
import { type RefitRecord, refitProgram } from '../../src/curvature/refit-walk.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { inputSignature } from '../../src/execution/signature.ts';
import { cloneProgram } from '../../src/ir/clone.ts';
import type { Program } from '../../src/ir/graph.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { Random } from '../../src/random.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'modelpress-refit-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const products = `program opset=21
graph main(x: float32[batch, 6]) -> (y: float32[batch, 6]) {
  up: float32[6, 10] = random(seed=1)
  down: float32[10, 6] = random(seed=2)
  bias: float32[6] = random(seed=3)
  second: float32[6, 6] = random(seed=4)
  h = MatMul(x, up)
  a = Relu(h)
  d = MatMul(a, down)
  biased = Add(bias, d)
  stream = Add(x, biased)
  n = Tanh(stream)
  e = MatMul(n, second)
  y = Add(stream, e)
}`;

const pictures = `program opset=21
graph main(x: float32[batch, 4, 5, 5]) -> (y: float32[batch, 4, 3, 3]) {
  w: float32[4, 2, 3, 3] = random(seed=1)
  scale: float32[4] = [0.5, 2.0, 1.5, 1.0]
  shift: float32[4] = [0.1, 0.2, 0.3, 0.4]
  mean: float32[4] = [0.0, 0.1, 0.2, 0.3]
  variance: float32[4] = [1.0, 0.5, 2.0, 1.5]
  shortcut: float32[4, 4, 1, 1] = random(seed=2)
  c = Conv(x, w, strides=[2, 2], pads=[1, 1, 1, 1], group=2)
  b = BatchNormalization(c, scale, shift, mean, variance)
  s = Conv(x, shortcut, strides=[2, 2])
  y = Add(s, b)
}`;

const chain = `program opset=21
graph main(x: float32[batch, 6]) -> (y: float32[batch, 5]) {
  a: float32[6, 8] = random(seed=1)
  b: float32[8, 5] = random(seed=2)
  h = MatMul(x, a)
  r = Sigmoid(h)
  y = MatMul(r, b)
}`;

const dataFor = (program: Program, samples = 8): Promise<Dataset> =>
  openDataset(
    { random: null, samples, window: 32 },
    { baseDirectory: '/', seed: 3, modelInputs: inputSignature(program), vocabulary: undefined },
  );

const refit = async (
  program: Program,
  original: Program,
  given: Partial<Parameters<typeof refitProgram>[0]> = {},
): Promise<RefitRecord[]> =>
  refitProgram({
    program,
    original,
    dataset: await dataFor(original, 64),
    engine: onnxruntimeEngine,
    ridge: 1e-9,
    maxMemoryBytes: 2 ** 26,
    scratch: { directory },
    emit: () => {},
    signal: new AbortController().signal,
    ...given,
  });

const siteOf = (program: Program, weight: string): Site =>
  findSites(program).find((site) => site.weight.name === weight)!;

/** Adds noise to a weight. */
const disturb = (program: Program, weight: string): void => {
  const site = siteOf(program, weight);
  const noise = new Random(7, weight).normals(site.rows * site.columns);
  writeSiteMatrix(
    site,
    readSiteMatrix(site).map((number, index) => number + 0.3 * noise[index]!),
  );
};

const largestGap = (a: Float32Array, b: Float32Array): number =>
  a.reduce((largest, number, index) => Math.max(largest, Math.abs(number - b[index]!)), 0);

describe('ridgeCorrection', () => {
  test('without a ridge it is the regression of e on z, and all that can be gained is gained', async () => {
    const [rows, columns, positions] = [3, 5, 40];
    const random = new Random(1, 'ridge');
    const truth = random.normals(rows * columns);
    const z = random.normals(positions * columns);
    const cross = new Float64Array(rows * columns);
    const inputs = new Float64Array(columns ** 2);
    let energy = 0;
    for (let p = 0; p < positions; p++)
      for (let i = 0; i < rows; i++) {
        let e = 0;
        for (let j = 0; j < columns; j++) e += truth[i * columns + j]! * z[p * columns + j]!;
        energy += e ** 2;
        for (let j = 0; j < columns; j++) cross[i * columns + j]! += e * z[p * columns + j]!;
      }
    for (let p = 0; p < positions; p++)
      for (let i = 0; i < columns; i++)
        for (let j = 0; j < columns; j++) inputs[i * columns + j]! += z[p * columns + i]! * z[p * columns + j]!;
    const { delta, gained } = await ridgeCorrection({ cross, inputs, rows, columns, ridge: 1e-12 });
    expect(Math.max(...delta.map((value, index) => Math.abs(value - truth[index]!)))).toBeLessThan(1e-6);
    expect(gained / energy).toBeCloseTo(1, 6);
    const held = await ridgeCorrection({ cross, inputs, rows, columns, ridge: 1e6 });
    expect(Math.max(...held.delta.map(Math.abs))).toBeLessThan(1e-4);
  });

  test('the ridge is the weaker, the more of what is fitted holds elsewhere; noise is not fitted at all', async () => {
    const [rows, columns, positions] = [2, 12, 30];
    const truth = new Random(2, 'truth').normals(rows * columns);
    const fold = (name: string, signal: number, noise: number): { cross: Float64Array; inputs: Float64Array } => {
      const random = new Random(4, name);
      const z = random.normals(positions * columns);
      const cross = new Float64Array(rows * columns);
      const inputs = new Float64Array(columns ** 2);
      for (let p = 0; p < positions; p++) {
        for (let i = 0; i < rows; i++) {
          let e = noise * random.normal();
          for (let j = 0; j < columns; j++) e += signal * truth[i * columns + j]! * z[p * columns + j]!;
          for (let j = 0; j < columns; j++) cross[i * columns + j]! += e * z[p * columns + j]!;
        }
        for (let i = 0; i < columns; i++)
          for (let j = 0; j < columns; j++) inputs[i * columns + j]! += z[p * columns + i]! * z[p * columns + j]!;
      }
      return { cross, inputs };
    };
    const choose = (signal: number, noise: number): Promise<number | undefined> =>
      chooseRidge([fold('one', signal, noise), fold('two', signal, noise)], { rows, columns });
    expect(await choose(1, 0.01)).toBe(1e-3);
    expect(await choose(1, 6)).toBeGreaterThan(1e-2);
    expect(await choose(0, 1)).toBeUndefined();
  });

  test('inputs that were never seen change nothing', async () => {
    const none = { cross: new Float64Array(2), inputs: new Float64Array(4), rows: 1, columns: 2, ridge: 0.1 };
    expect(await ridgeCorrection(none)).toEqual({ delta: new Float64Array(2), gained: 0 });
  });
});

describe('refitProgram', () => {
  test('finds the consumers of residual streams through biases and normalisations', () => {
    expect(
      findResidualWriters(parseProgram(products)).map(({ site, stream }) => [site.weight.name, stream.name]),
    ).toEqual([
      ['down', 'stream'],
      ['second', 'y'],
    ]);
    const writers = findResidualWriters(parseProgram(pictures));
    expect(writers.map(({ site, stream }) => [site.weight.name, stream.name])).toEqual([
      ['w', 'y'],
      ['shortcut', 'y'],
    ]);
    expect([...writers[0]!.gains!].map((gain) => gain.toFixed(3))).toEqual(['0.500', '2.828', '1.061', '0.816']);
    expect(writers[1]!.gains).toBeUndefined();
  });

  test('a sum that only another sum reads is no stream of its own', () => {
    const parallel = products.replace('n = Tanh(stream)', 'n = Tanh(x)');
    expect(findResidualWriters(parseProgram(parallel)).map(({ stream }) => stream.name)).toEqual(['y', 'y']);
  });

  test('leaves an unchanged program as it is', async () => {
    const original = parseProgram(products);
    const program = cloneProgram(original);
    const records = await refit(program, original);
    expect(records.map(({ site }) => site)).toEqual(['down', 'second']);
    for (const { errorBefore } of records) expect(errorBefore).toBe(0);
    expect(largestGap(readSiteMatrix(siteOf(program, 'down')), readSiteMatrix(siteOf(original, 'down')))).toBe(0);
  });

  test.each([
    ['a product', products, 'down'],
    ['a product at the end', products, 'second'],
    ['a grouped convolution before a normalisation', pictures, 'w'],
    ['a product in a graph without residual streams', chain, 'b'],
  ])('finds the weight of a consumer again that alone was disturbed: %s', async (_, text, weight) => {
    const original = parseProgram(text);
    const program = cloneProgram(original);
    disturb(program, weight);
    const records = await refit(program, original);
    const { errorBefore, errorAfter } = records.find(({ site }) => site === weight)!;
    expect(errorBefore).toBeGreaterThan(1e-3);
    expect(errorAfter).toBeLessThan(errorBefore * 1e-4);
    expect(largestGap(readSiteMatrix(siteOf(program, weight)), readSiteMatrix(siteOf(original, weight)))).toBeLessThan(
      2e-3,
    );
  });

  test('makes up for what a narrower block before the consumer lost, and never makes the stream worse', async () => {
    const original = parseProgram(products);
    const narrower = parseProgram(
      products
        .replace('up: float32[6, 10]', 'up: float32[6, 7]')
        .replace('down: float32[10, 6]', 'down: float32[7, 6]'),
    );
    const records = await refit(narrower, original);
    expect(records).toHaveLength(2);
    for (const { errorBefore, errorAfter } of records) expect(errorAfter).toBeLessThan(errorBefore);
    expect(records[0]!.errorBefore).toBeGreaterThan(0.05);
  });

  test('leaves weights that several products share alone', async () => {
    const original = parseProgram(
      products
        .replace('n = Tanh(stream)', 't = MatMul(a, down)\n  u = Add(stream, t)\n  n = Tanh(u)')
        .replace('y = Add(stream, e)', 'y = Add(u, e)'),
    );
    const program = cloneProgram(original);
    disturb(program, 'down');
    const records = await refit(program, original);
    expect(records.map(({ site }) => site)).toEqual(['second']);
  });

  test('goes on from checkpoints with the same weights', async () => {
    const original = parseProgram(products);
    const whole = cloneProgram(original);
    disturb(whole, 'up');
    const resumed = cloneProgram(whole);
    const kept = new Map<string, Uint8Array>();
    const records = await refit(whole, original, {
      checkpoints: { get: () => undefined, put: (key, bytes) => void kept.set(key, bytes) },
    });
    expect(kept.size).toBeGreaterThan(0);
    const found: string[] = [];
    const again = await refit(resumed, original, {
      checkpoints: {
        get: (key) => {
          found.push(key);
          return kept.get(key);
        },
        put: () => {
          throw new Error('every block was kept');
        },
      },
    });
    expect(again).toEqual(records);
    expect(found.length).toBeGreaterThan(0);
    for (const weight of ['down', 'second'])
      expect(readSiteMatrix(siteOf(resumed, weight))).toEqual(readSiteMatrix(siteOf(whole, weight)));
  });
});
