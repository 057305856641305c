import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readSiteMatrix, writeSiteMatrix } from '../../../src/analysis/site-weights.ts';
import { findSites, type Site } from '../../../src/analysis/sites.ts';
import { findSteps } from '../../../src/analysis/steps.ts';
import { type SiteCrosses, siteCrosses } from '../../../src/calibration/statistics/cross.ts';
import { runBlocks } from '../../../src/execution/block-runner.ts';
import { onnxruntimeEngine } from '../../../src/execution/onnxruntime.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { matmul } from '../../../src/kernels/index.ts';
import { correlatedInputs } from '../../stages/quantize/weights/context.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'modelpress-cross-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A gated layer: its down projection sees more inputs than it has outputs. */
const gated = `program opset=17 graph m(x: float32[6, 12]) -> (y) {
  a: float32[12, 12] = random(seed=1, scale=0.3) u: float32[12, 40] = random(seed=2, scale=0.3)
  g: float32[12, 40] = random(seed=3, scale=0.3) d: float32[40, 12] = random(seed=4, scale=0.3)
  h = MatMul(x, a) { name: "first" } r = Tanh(h)
  p = MatMul(r, u) { name: "up" } q = MatMul(r, g) { name: "gate" } s = Sigmoid(q) t = Mul(p, s)
  o = MatMul(t, d) { name: "down" } y = Add(o, x)
}`;

/** Walks a program whose weights shrink as they are passed; the sums of every piece, with G alone and with T allowed. */
const bothSums = async (
  text: string,
): Promise<Map<Site, { readonly all: SiteCrosses; readonly some: SiteCrosses }>> => {
  const program = parseProgram(text);
  const found = new Map<Site, { all: SiteCrosses; some: SiteCrosses }>();
  await runBlocks(
    {
      program,
      dataset: correlatedInputs([6, 12], 5),
      engine: onnxruntimeEngine,
      cut: findSteps,
      maxMemoryBytes: 1 << 20,
      original: 'walked',
      scratch: { directory },
      task: 'test',
      emit: () => {},
      signal: new AbortController().signal,
    },
    async ({ block, observe }) => {
      const all = siteCrosses(block.sites, new Set());
      const some = siteCrosses(block.sites, new Set(block.sites));
      await observe([], [...all.observations, ...some.observations]);
      for (const site of block.sites) {
        found.set(site, { all, some });
        const weight = readSiteMatrix(site);
        writeSiteMatrix(
          site,
          weight.map((value, index) => value * (0.8 + 0.02 * (index % 7))),
        );
      }
    },
  );
  return found;
};

describe('cross moments of inputs as they were and as they are', () => {
  test('T summed from outputs is W G, where an input is wider than all that is made of it', async () => {
    const weights = new Map(findSites(parseProgram(gated)).map((site) => [site.name, readSiteMatrix(site)]));
    const sums = await bothSums(gated);
    for (const [site, { all, some }] of sums) {
      const { name, rows, columns } = site;
      expect(all.targetsOf(site), name).toBeUndefined();
      expect(some.targetsOf(site) !== undefined, name).toBe(name === 'down');
      expect(some.crossesOf(site) === undefined, name).toBe(name === 'down');
      if (name !== 'down') continue;
      const [cross, target] = [all.crossesOf(site)![0]!, some.targetsOf(site)![0]!];
      expect(target.count).toBe(cross.count);
      const a = Float64Array.from(weights.get(name)!);
      const expected = await matmul({ a, rows, inner: columns, b: cross.matrix(), columns });
      const scale = Math.max(...expected.map(Math.abs));
      target.matrix().forEach((value, index) => {
        expect(Math.abs(value - expected[index]!)).toBeLessThan(1e-5 * scale);
      });
    }
  });

  test.each([
    ['a bias is part of the output', 'MatMul(t, d) { name: "down" }', 'Gemm(t, d, b) { name: "down" }'],
    [
      'another product reads the same input and needs G',
      ' y = Add(o, x)',
      ' e = MatMul(t, w) { name: "more" } y = Add(o, x)',
    ],
  ])('G is summed where %s', async (_, from, to) => {
    const constants = 'b: float32[12] = random(seed=6) w: float32[40, 32] = random(seed=7, scale=0.3)';
    const text = gated.replace(from, to).replace('  h = ', `  ${constants}\n  h = `);
    const [site, { some }] = [...(await bothSums(text))].find(([{ name }]) => name === 'down')!;
    expect(some.targetsOf(site)).toBeUndefined();
    expect(some.crossesOf(site)).toHaveLength(1);
  });
});
