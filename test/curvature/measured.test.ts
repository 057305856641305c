import { expect, test } from 'vitest';
import { findBlocks } from '../../src/analysis/blocks.ts';
import { readSiteMatrix, writeSiteMatrix } from '../../src/analysis/site-weights.ts';
import { findSites, type Site } from '../../src/analysis/sites.ts';
import { divergenceOf } from '../../src/curvature/divergence.ts';
import { measureDivergences, withJointDivergence } from '../../src/curvature/measured.ts';
import { outputReadings } from '../../src/curvature/readings.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { withSession } from '../../src/execution/session.ts';
import { cloneProgram } from '../../src/ir/clone.ts';
import type { Program } from '../../src/ir/graph.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { contextIn, normalSamples, scratchFolder } from './workbench.ts';

const scratch = scratchFolder();

/** Three blocks, a constant that two of them share, and a second output in the middle. */
const program = parseProgram(`program opset=21
graph g(x: float32[N, 12]) -> (scores, hidden) {
  e: float32[12, 12] = random(seed=1)
  w: float32[12, 12] = random(seed=2)
  u: float32[12, 5] = random(seed=3)
  a: float32[N, 12] = MatMul(x, e) { name: "first", block: "0" }
  b: float32[N, 12] = Tanh(a) { block: "0" }
  c: float32[N, 12] = MatMul(b, w) { name: "second", block: "1" }
  hidden: float32[N, 12] = Tanh(c) { block: "1" }
  d: float32[N, 12] = MatMul(hidden, e) { name: "third", block: "2" }
  f: float32[N, 12] = Add(d, b) { block: "2" }
  scores: float32[N, 5] = MatMul(f, u) { name: "last", block: "2" }
}
`);

const dataset = normalSamples([6, 12], 3);

const doubled = (site: Site): Float32Array => readSiteMatrix(site).map((value) => 1.1 * value);

/** The divergence of a program with one weight changed in it, computed from end to end. */
const measuredWhole = async (names: readonly string[]): Promise<number> => {
  const changed = cloneProgram(program);
  for (const site of findSites(changed)) if (names.includes(site.name)) writeSiteMatrix(site, doubled(site));
  const readings = outputReadings(program);
  const run = (of: Program) =>
    withSession(onnxruntimeEngine, of, {}, async (session) => {
      const outputs = [];
      for (let index = 0; index < dataset.length; index++) {
        const sample = await dataset.sample(index);
        if (sample.kind !== 'arrays') throw new Error('arrays were expected');
        outputs.push(await session.run(new Map([['x', sample.arrays.get('')!]])));
      }
      return outputs;
    });
  const [before, after] = [await run(program), await run(changed)];
  let nats = 0;
  for (const [index, outputs] of before.entries()) nats += await divergenceOf(readings, outputs, after[index]!);
  return nats / (6 * dataset.length);
};

test('what a change does from its block onward is what it does to the whole model', async () => {
  const context = contextIn(scratch);
  const sites = findSites(program);
  const found = new Map<string, number>();
  await measureDivergences({
    program,
    dataset,
    context,
    blocks: findBlocks(program),
    changesIn: (block) =>
      block.sites
        .filter(({ name }) => name !== 'third')
        .map((site) => ({ name: site.name, sites: [site], matrixOf: async () => doubled(site) })),
    measured: (_, divergences) => {
      for (const [name, nats] of divergences) found.set(name, nats);
    },
  });
  expect([...found.keys()]).toEqual(['first', 'second', 'last']);
  for (const name of ['first', 'second', 'last']) {
    const whole = await measuredWhole([name]);
    expect(whole).toBeGreaterThan(1e-4);
    expect(found.get(name)! / whole, name).toBeCloseTo(1, 4);
  }
  const joint: number[] = [];
  const chosen = sites.filter(({ name }) => name !== 'third');
  await withJointDivergence({ program, dataset, context, sites: chosen }, async (divergence) => {
    joint.push(await divergence(new Map()));
    joint.push(await divergence(new Map(chosen.map((site) => [site, doubled(site)]))));
  });
  expect(joint[0]).toBeCloseTo(0, 9);
  expect(joint[1]! / (await measuredWhole(['first', 'second', 'last']))).toBeCloseTo(1, 4);
});

test('what comes before a change is computed once, however many changes there are', async () => {
  const context = contextIn(scratch);
  const last = findBlocks(program).at(-1)!;
  const changesIn = (count: number) => (block: { readonly index: number }) =>
    block.index !== last.index
      ? []
      : Array.from({ length: count }, (_, index) => {
          const site = last.sites.find(({ name }) => name === 'last')!;
          return { name: `change ${index}`, sites: [site], matrixOf: async () => doubled(site) };
        });
  const request = { program, dataset, context, blocks: findBlocks(program), measured: () => {} };
  await measureDivergences({ ...request, changesIn: changesIn(1) });
  const one = context.sessions();
  await measureDivergences({ ...request, changesIn: changesIn(5) });
  expect(context.sessions() - one).toBe(one);
});
