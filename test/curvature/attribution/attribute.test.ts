import { expect, test } from 'vitest';
import { packSite, readSiteMatrix, writeSiteMatrix } from '../../../src/analysis/site-weights.ts';
import { findSites } from '../../../src/analysis/sites.ts';
import { withPackedWeights } from '../../../src/artifact/formats/onnx/lift/lift.ts';
import { lowerToMatMulNBits } from '../../../src/artifact/formats/onnx/lower/matmulnbits.ts';
import { type Attribution, attributeDivergence } from '../../../src/curvature/attribution/attribute.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { packRows, quantizeRtn } from '../../../src/kernels/index.ts';
import { contextIn, normalSamples, scratchFolder } from '../workbench.ts';

const scratch = scratchFolder();
const dataset = normalSamples([6, 32], 3);

const network = (activation = 'Tanh', second = 'Add(c, a)'): Program =>
  parseProgram(`program opset=21
graph g(x: float32[N, 32]) -> (scores) {
  w: float32[32, 32] = random(seed=1)
  v: float32[32, 32] = random(seed=2)
  u: float32[32, 5] = random(seed=3)
  a: float32[N, 32] = MatMul(x, w) { name: "first", block: "0" }
  b: float32[N, 32] = ${activation}(a) { block: "0" }
  c: float32[N, 32] = MatMul(b, v) { name: "second", block: "1" }
  d: float32[N, 32] = ${second} { block: "1" }
  scores: float32[N, 5] = MatMul(d, u) { name: "last", block: "2" }
}
`);

/** A copy whose named sites are scaled a little. */
const changed = (program: Program, names: readonly string[], factor = 1.05): Program => {
  const copy = cloneProgram(program);
  for (const site of findSites(copy))
    if (names.includes(site.name))
      writeSiteMatrix(
        site,
        readSiteMatrix(site).map((value, index) => (index % 3 === 0 ? factor * value : value)),
      );
  return copy;
};

const rounded = async (program: Program, bits: number): Promise<Program> => {
  const copy = cloneProgram(program);
  for (const site of findSites(copy)) {
    const { rows, columns } = site;
    const common = { rows, columns, groupSize: 32, bits };
    const made = await quantizeRtn({
      ...common,
      weight: readSiteMatrix(site),
      scheme: 'asymmetric',
      scaleType: 'float32',
      signal: new AbortController().signal,
    });
    const storedBits = bits <= 4 ? 4 : 8;
    const codes = packRows({ codes: made.codes, rows, columns, bits: storedBits });
    packSite(site, { groupSize: 32, bits, storedBits, method: 'rtn', ...made, codes });
  }
  return copy;
};

const attribute = (
  first: Program,
  second: Program,
  changes: Partial<Parameters<typeof attributeDivergence>[0]> = {},
): Promise<Attribution> =>
  attributeDivergence({
    first,
    second,
    dataset,
    context: contextIn(scratch),
    by: 'measured',
    gain: undefined,
    ...changes,
  });

/** The theorem of the curvature: to second order what it predicts of each change alone is what that change costs. */
const expectPredictionNearMeasure = async (program: Program, other: Program): Promise<void> => {
  const many = normalSamples([6, 32], 64);
  const measured = await attribute(program, other, { dataset: many });
  const predicted = await attribute(program, other, { by: 'curvature', dataset: many });
  for (const [index, { caused, alone }] of predicted.units.entries()) {
    expect(alone).toBeUndefined();
    expect(caused! / measured.units[index]!.alone!).toBeGreaterThan(0.3);
    expect(caused! / measured.units[index]!.alone!).toBeLessThan(3);
  }
};

test('a change of one site is all its own: alone, restored and the whole are one number', async () => {
  const program = network();
  const found = await attribute(program, changed(program, ['second']));
  expect(found.units.map(({ unit }) => unit.name)).toEqual(['second']);
  expect(found.correspondence.same.map(({ site }) => site.name).sort()).toEqual(['first', 'last']);
  const [{ alone, restored, caused } = { alone: 0, restored: 0, caused: 0 }] = found.units;
  expect(found.divergence).toBeGreaterThan(1e-5);
  for (const part of [alone, restored, caused]) expect(part! / found.divergence).toBeCloseTo(1, 4);
  expect(found.remaining).toBeLessThan(1e-9);
});

test('of a program without curvature beyond the second order the shares add up to the whole', async () => {
  const program = parseProgram(`program opset=21
graph g(x: float32[N, 32]) -> (features) {
  w: float32[32, 8] = random(seed=1)
  v: float32[32, 8] = random(seed=2)
  a: float32[N, 8] = MatMul(x, w) { name: "one" }
  b: float32[N, 8] = MatMul(x, v) { name: "other" }
  features: float32[N, 8] = Add(a, b)
}
`);
  const { units, divergence } = await attribute(program, changed(program, ['one', 'other'], 1.5));
  const sum = units.reduce((total, { caused }) => total + caused!, 0);
  expect(units).toHaveLength(2);
  expect(sum / divergence).toBeCloseTo(1, 4);
  for (const { alone, restored } of units) expect(Math.abs(alone! - restored!)).toBeGreaterThan(1e-6);
});

const relus = (): Program => network('Relu', 'Tanh(c)');

/** A copy of `relus` that computes the same with the channels between its first two products in other units. */
const inOtherUnits = (program: Program): Program => {
  const copy = cloneProgram(program);
  const factorOf = (channel: number): number => 2 ** ((channel % 7) - 3);
  for (const site of findSites(copy).filter(({ name }) => name !== 'last')) {
    const moved = readSiteMatrix(site).map((value, index) =>
      site.name === 'first'
        ? value / factorOf(Math.floor(index / site.columns))
        : value * factorOf(index % site.columns),
    );
    writeSiteMatrix(site, moved);
  }
  return copy;
};

test('channels in other units are no errors: a change elsewhere is still all its own', async () => {
  const other = inOtherUnits(changed(relus(), ['last']));
  const { units, divergence, remaining, along } = await attribute(relus(), other);
  expect(units.map(({ unit }) => unit.name)).toEqual(['first', 'second', 'last']);
  const shares = units.map(({ caused }) => caused! / divergence);
  expect(shares[0]).toBeCloseTo(0, 3);
  expect(shares[1]).toBeCloseTo(0, 3);
  expect(shares[2]).toBeCloseTo(1, 3);
  expect(remaining / divergence).toBeLessThan(1e-3);
  expect(along[0]!.error!.snrDb).toBeGreaterThan(60);
});

test('the curvature sees rounded weights in the units of the original', async () => {
  await expectPredictionNearMeasure(relus(), await rounded(inOtherUnits(relus()), 8));
});

test('products that read each other directly are put back together', async () => {
  const program = parseProgram(`program opset=21
graph g(x: float32[N, 32]) -> (scores) {
  w: float32[32, 32] = random(seed=1)
  v: float32[32, 16] = random(seed=2)
  u: float32[16, 5] = random(seed=3)
  a: float32[N, 32] = MatMul(x, w) { name: "first", block: "0" }
  b: float32[N, 16] = MatMul(a, v) { name: "second", block: "0" }
  scores: float32[N, 5] = MatMul(b, u) { name: "last", block: "1" }
}
`);
  const found = await attribute(program, changed(program, ['first', 'second', 'last'], 1.5));
  expect(found.units).toHaveLength(3);
  expect(found.divergence).toBeGreaterThan(1e-3);
  expect(found.remaining).toBeLessThan(1e-6 * found.divergence);
});

test('errors along the graph begin where the first weight was changed', async () => {
  const program = network();
  const { along } = await attribute(program, changed(program, ['second']));
  expect(along.map(({ pair }) => pair.site.name)).toEqual(['first', 'second', 'last']);
  expect(along[0]?.error).toEqual({ snrDb: Number.POSITIVE_INFINITY, cosine: expect.closeTo(1, 6) });
  expect(along[1]!.error!.snrDb).toBeLessThan(40);
  expect(along[2]!.error!.cosine).toBeLessThan(1);
});

test('a file of packed operators is followed as the weights that it holds', async () => {
  const program = network();
  const packed = await rounded(program, 3);
  const direct = await attribute(program, packed);
  const lowered = cloneProgram(packed);
  lowerToMatMulNBits(lowered, { accuracyLevel: 0 });
  expect(lowered.graph.nodes.some(({ op }) => op === 'MatMulNBits')).toBe(true);
  const lifted = withPackedWeights({
    program: lowered,
    family: undefined,
    config: undefined,
    companions: [],
    origin: '',
  });
  const found = await attribute(program, lifted.program);
  expect(found.units.map(({ unit }) => unit.name)).toEqual(['first', 'second', 'last']);
  for (const [index, { caused }] of found.units.entries()) expect(caused).toBeCloseTo(direct.units[index]!.caused!, 9);
  // Operators that are not lifted are followed as they are.
  const untouched = await attribute(program, lowered);
  expect(untouched.divergence / direct.divergence).toBeCloseTo(1, 3);
  for (const [index, { caused }] of untouched.units.entries())
    expect(caused! / direct.units[index]!.caused!).toBeCloseTo(1, 2);
});

test('the weights to keep take away what was asked for, and cost less than all of them', async () => {
  const program = network();
  const packed = await rounded(program, 2);
  const found = await attribute(program, packed, { gain: 0.5 });
  const kept = found.kept!;
  expect(kept.reached).toBe(true);
  expect(kept.gain).toBeGreaterThanOrEqual(0.5);
  expect(kept.units.length).toBeLessThan(3);
  const all = await attribute(program, packed, { gain: 1 });
  expect(all.kept!.reached).toBe(false);
  expect(all.kept!.gain).toBeGreaterThan(0.99);
  expect(all.kept!.addedBytes).toBeGreaterThan(kept.addedBytes);
});

test('by the curvature no site is run alone, and what it predicts is near what is measured', async () => {
  await expectPredictionNearMeasure(network(), await rounded(network(), 4));
});

test('models that have nothing in common are refused, and what differs is named', async () => {
  const other = parseProgram(`program opset=21
graph g(x: float32[N, 32]) -> (scores) {
  w: float32[32, 5] = random(seed=4)
  scores: float32[N, 5] = MatMul(x, w) { name: "only" }
}
`);
  const { correspondence } = await attribute(network(), changed(network(), ['first']));
  expect(correspondence.unmatched).toEqual([]);
  const stranger = cloneProgram(other);
  stranger.graph.outputs[0]!.name = 'answers';
  await expect(attribute(network(), stranger)).rejects.toThrow('none of the 3 weight products');
  const shorter = parseProgram(`program opset=21
graph g(x: float32[N, 32]) -> (scores) {
  w: float32[32, 32] = random(seed=1)
  u: float32[32, 5] = random(seed=3)
  a: float32[N, 32] = MatMul(x, w) { name: "first" }
  scores: float32[N, 5] = MatMul(a, u) { name: "last" }
}
`);
  const { unmatched } = (await attribute(network(), shorter)).correspondence;
  expect(unmatched.map(({ site, reason }) => [site.name, reason])).toEqual([
    ['second', 'the other model has no value c'],
  ]);
  const narrow = parseProgram(`program opset=21
graph g(x: float32[N, 32]) -> (scores) {
  w: float32[32, 16] = random(seed=1)
  u: float32[16, 5] = random(seed=3)
  a: float32[N, 16] = MatMul(x, w) { name: "first" }
  scores: float32[N, 5] = MatMul(a, u) { name: "last" }
}
`);
  await expect(attribute(network(), narrow)).rejects.toThrow('its output is [N, 32], there it is [N, 16]');
});
