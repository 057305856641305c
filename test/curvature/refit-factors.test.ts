import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readSiteMatrix, writeSiteMatrix } from '../../src/analysis/site-weights.ts';
import { findSites, type Site } from '../../src/analysis/sites.ts';
import { openDataset } from '../../src/calibration/samples/table.ts';
import type { FactoredWeight } from '../../src/curvature/refit-factors.ts';
import { type RefitRecord, refitProgram } from '../../src/curvature/refit-walk.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { inputSignature } from '../../src/execution/signature.ts';
import { cloneProgram } from '../../src/ir/clone.ts';
import type { Program } from '../../src/ir/graph.ts';
import { inferShapes } from '../../src/ir/inference/index.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { matmul } from '../../src/kernels/index.ts';
import { Random } from '../../src/random.ts';
import { factorSite } from '../../src/stages/factorize/factor-site.ts';
import { factoredWeight } from '../../src/stages/factorize/low-rank.ts';
import type { Factors } from '../../src/stages/factorize/methods/method.ts';
import { memoryStore } from '../../src/stages/memory-store.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'modelpress-refit-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const graphs = {
  products: `program opset=21
graph main(x: float32[batch, 16]) -> (y: float32[batch, 16]) {
  up: float32[16, 20] = random(seed=1)
  down: float32[20, 16] = random(seed=2)
  h = MatMul(x, up)
  a = Tanh(h)
  d = MatMul(a, down)
  y = Add(x, d)
}`,
  convolutions: `program opset=21
graph main(x: float32[batch, 8, 6, 6]) -> (y: float32[batch, 8, 6, 6]) {
  up: float32[12, 8, 3, 3] = random(seed=1)
  down: float32[8, 12, 3, 3] = random(seed=2)
  h = Conv(x, up, pads=[1, 1, 1, 1])
  a = Tanh(h)
  d = Conv(a, down, pads=[1, 1, 1, 1])
  y = Add(x, d)
}`,
} as const;

const siteOf = (program: Program, weight: string): Site =>
  findSites(program).find((site) => site.weight.name.startsWith(weight) && !site.name.endsWith('.right'))!;

const identity = (n: number): Float64Array =>
  Float64Array.from({ length: n * n }, (_, index) => (index % (n + 1) === 0 ? 1 : 0));

/** Makes a weight one of rank four. */
const flatten = async (program: Program, weight: string): Promise<void> => {
  const site = siteOf(program, weight);
  const { rows, columns } = site;
  const [left, right] = [new Random(5, 'left').normals(rows * 4), new Random(5, 'right').normals(4 * columns)];
  const made = await matmul({ a: left, rows, inner: 4, b: right, columns });
  writeSiteMatrix(site, Float32Array.from(made));
};

/** A copy whose weight is in factors of rank four that have nothing to do with it. */
const factored = (
  original: Program,
  weight: string,
): { program: Program; weights: Map<string, FactoredWeight>; site: string } => {
  const program = cloneProgram(original);
  const site = siteOf(program, weight);
  const { rows, columns } = site;
  const made = factoredWeight(site, { b: identity(rows) }, 'two-sided', new AbortController().signal);
  const wrong: Factors = {
    left: Float64Array.from(new Random(8, 'left').normals(rows * 4)),
    right: Float64Array.from(new Random(8, 'right').normals(4 * columns)),
  };
  factorSite(site, wrong, 4);
  inferShapes(program);
  return { program, weights: new Map([[site.output.name, made]]), site: `${weight}.left` };
};

const refit = async (
  program: Program,
  original: Program,
  given: Partial<Parameters<typeof refitProgram>[0]>,
): Promise<RefitRecord[]> =>
  refitProgram({
    program,
    original,
    dataset: await openDataset(
      { random: null, samples: 32, window: 32 },
      { baseDirectory: '/', seed: 3, modelInputs: inputSignature(original), vocabulary: undefined },
    ),
    engine: onnxruntimeEngine,
    ridge: 1e-9,
    maxMemoryBytes: 2 ** 26,
    scratch: { directory },
    emit: () => {},
    signal: new AbortController().signal,
    ...given,
  });

describe.each(Object.entries(graphs))('factors of %s', (_, text) => {
  test.each(['down', 'up'])('are found again where the weight has their rank: %s', async (weight) => {
    const original = parseProgram(text);
    await flatten(original, weight);
    const { program, weights, site } = factored(original, weight);
    const records = await refit(program, original, { factored: weights, scope: 'all' });
    const own = records.find((record) => record.site === site)!;
    expect(own.errorBefore).toBeGreaterThan(0.1);
    expect(own.errorAfter).toBeLessThan(1e-6);
  });

  test('are better remade together than the second alone', async () => {
    const original = parseProgram(text);
    const together = factored(original, 'down');
    const alone = factored(original, 'down');
    const errorOf = async ({ program, weights, site }: typeof together, known: boolean): Promise<number> => {
      const records = await refit(program, original, known ? { factored: weights } : {});
      return records.find((record) => record.site === site)!.errorAfter;
    };
    expect(await errorOf(together, true)).toBeLessThan(0.9 * (await errorOf(alone, false)));
  });

  test('come out the same from checkpoints', async () => {
    const original = parseProgram(text);
    const checkpoints = memoryStore();
    const first = factored(original, 'up');
    await refit(first.program, original, { factored: first.weights, scope: 'all', checkpoints });
    const again = factored(original, 'up');
    await refit(again.program, original, { factored: again.weights, scope: 'all', checkpoints });
    const matricesOf = ({ program }: typeof first): Float32Array[] => findSites(program).map(readSiteMatrix);
    expect(matricesOf(again)).toEqual(matricesOf(first));
  });
});

test('what writes to no stream is corrected against its own output only where all is asked for', async () => {
  const original = parseProgram(graphs.products);
  const sitesOf = async (scope: 'stream' | 'all'): Promise<string[]> =>
    (await refit(cloneProgram(original), original, { scope })).map(({ site }) => site);
  expect(await sitesOf('stream')).toEqual(['down']);
  expect(await sitesOf('all')).toEqual(['up', 'down']);
});
