import { expect, test } from 'vitest';
import { allocate } from '../../../src/analysis/budget/allocate.ts';
import { findSites } from '../../../src/analysis/sites.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { quantizeStage } from '../../../src/stages/quantize/index.ts';
import { sensitivityStage } from '../../../src/stages/sensitivity/index.ts';
import { contextIn, normalSamples, scratchFolder } from '../../curvature/workbench.ts';
import { analyse, modelOf, network, samples } from './workbench.ts';

const scratch = scratchFolder();

test('losses fall with every bit, and the curvature predicts what is measured', async () => {
  const { report } = await analyse({ verify: true }, contextIn(scratch));
  expect(report.sites.map(({ site }) => site)).toEqual(['q', 'k', 'o', 'u', 'd', 'head']);
  for (const { options } of report.sites) {
    const losses = options.map(({ loss }) => loss);
    expect(losses).toEqual([...losses].sort((a, b) => b - a));
  }
  expect(Math.abs(Math.log(report.sums!.predicted / report.sums!.measured))).toBeLessThan(0.4);
  const curvature = report.correlations.find(({ predictor }) => predictor === 'curvature')!;
  expect(curvature.sites).toBe(6);
  expect(curvature.correlation).toBeGreaterThan(0.8);
  expect(report.allocation).toBeUndefined();
});

test('an allocation keeps within its budget and loses least of all that do', async () => {
  const context = contextIn(scratch);
  const { report } = await analyse({ budget: { average_bits: 3.5 }, search: false }, context);
  const { allocation, sites } = report;
  expect(allocation!.average_bits).toBeLessThanOrEqual(3.5);
  const choices = sites.map(({ site, options, rows, columns }) => ({
    name: site,
    options: options.map(({ bits, loss }) => ({ cost: Number(bits) * rows * columns, loss })),
  }));
  const elements = sites.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const best = allocate(choices, 3.5 * elements);
  expect(best.lowerBound).toBe(best.loss);
  expect(allocation!.loss).toBeCloseTo(best.loss, 9);
  const uniform = report.uniform.find(({ format }) => format === 'int3 g32')!;
  expect(allocation!.loss).toBeLessThan(uniform.loss);
});

test.each([
  [{ size: 0.3 }, 'bytes'],
  [{ size: { bytes: 9000 } }, 'bytes'],
  [{ operations: 0.25 }, 'operations'],
  [{ average_bits: 2.5 }, 'bits'],
] as const)('a budget of %j is kept', async (budget, measure) => {
  const { report } = await analyse({ budget, search: false }, contextIn(scratch));
  const { allocation } = report;
  expect(allocation!.measure).toBe(measure);
  expect(allocation!.cost).toBeLessThanOrEqual(allocation!.limit!);
  const fact = report.findings.find(({ facts }) => facts?.bytes_after !== undefined)!.facts!;
  if ('size' in budget) {
    const most = typeof budget.size === 'number' ? budget.size * Number(fact.bytes_before) : budget.size.bytes;
    expect(fact.bytes_after).toBeLessThanOrEqual(most);
  }
});

test('the smallest model within a divergence is found', async () => {
  const context = contextIn(scratch);
  const { report } = await analyse({ budget: { max_kl: 0.01 } }, context);
  expect(report.allocation!.loss).toBeLessThanOrEqual(0.01);
  const { report: tighter } = await analyse({ budget: { max_kl: 0.001 } }, context);
  expect(tighter.allocation!.loss).toBeLessThanOrEqual(0.001);
  expect(tighter.allocation!.bytes).toBeGreaterThan(report.allocation!.bytes);
  expect(report.allocation!.measured!.tried).toBe(0);
});

test('a budget that nothing keeps is refused with what the smallest formats take', async () => {
  await expect(analyse({ budget: { size: 0.01 } }, contextIn(scratch))).rejects.toThrow(/cannot be met/);
});

test('tied sites get one format', async () => {
  const budget = { average_bits: 3.2 };
  const { report } = await analyse({ budget, ties: ['inputs', 'residual'], search: false }, contextIn(scratch));
  const chosen = Object.fromEntries(report.sites.map(({ site, chosen: format }) => [site, format]));
  expect(chosen.q).toBe(chosen.k);
  expect(chosen.o).toBe(chosen.d);
  const { report: named } = await analyse({ budget, ties: [['q', 'd', 'head']], search: false }, contextIn(scratch));
  const formats = Object.fromEntries(named.sites.map(({ site, chosen: format }) => [site, format]));
  expect(formats.q).toBe(formats.d);
  expect(formats.q).toBe(formats.head);
});

test('exchanges never make the measured divergence larger, and keep within the budget', async () => {
  const search = { tries: 8, samples: 12 };
  const { report } = await analyse({ budget: { average_bits: 2.6 }, search }, contextIn(scratch));
  const { measured, cost, limit } = report.allocation!;
  expect(measured!.tried).toBeGreaterThan(2);
  expect(measured!.tried).toBeLessThanOrEqual(8);
  expect(measured!.after).toBeLessThanOrEqual(measured!.before);
  expect(cost).toBeLessThanOrEqual(limit!);
});

test('quantize with bits auto gives every weight the width that was chosen', async () => {
  const context = { ...contextIn(scratch), calibration: samples };
  const options = sensitivityStage.options.parse({ budget: { average_bits: 3.3 }, search: false });
  const { model, findings } = await sensitivityStage.run(modelOf(network()), options, context);
  const widths = new Map(
    findSites(model.program).map(({ name, node }) => [name, node.metadata.get('modelpress.bits')]),
  );
  expect(new Set(widths.values()).size).toBeGreaterThan(1);
  const plan = quantizeStage.plan(model, quantizeStage.options.parse({ method: 'rtn', weights: { bits: 'auto' } }));
  for (const { site, action } of plan.sites) expect(action).toContain(`int${widths.get(site)} g32`);
  const recipe = findings.find(({ facts }) => facts?.recipe !== undefined)!.facts!.recipe as string;
  expect(recipe).toContain('overrides');
});

test('the recipe that is given asks for exactly the allocation', async () => {
  const { parse } = await import('yaml');
  const { report } = await analyse({ budget: { average_bits: 3 }, search: false }, contextIn(scratch));
  const { quantize } = parse(report.recipe!).stages[0];
  const plan = quantizeStage.plan(modelOf(network()), quantizeStage.options.parse({ ...quantize, method: 'rtn' }));
  const chosen = new Map(report.sites.map(({ site, chosen: format }) => [site, format]));
  for (const { site, action } of plan.sites) expect(action).toContain(chosen.get(site));
});

test('a weight may be kept as it is where none is among the widths', async () => {
  const { report } = await analyse({ bits: [2, 'none'], budget: { size: 0.5 }, search: false }, contextIn(scratch));
  const chosen = new Set(report.sites.map(({ chosen: format }) => format));
  expect(chosen).toEqual(new Set(['int2 g32', 'kept']));
  for (const { options } of report.sites) expect(options.at(-1)!.loss).toBe(0);
});

/** A lookup and a product behind an operator that has no gradient. */
const blind = parseProgram(`program opset=21
graph g(ids: int64[N]) -> (logits) {
  table: float32[40, 32] = random(seed=1)
  w: float32[32, 24] = random(seed=2)
  h: float32[24, 10] = random(seed=3)
  e: float32[N, 32] = Gather(table, ids) { name: "lookup" }
  a: float32[N, 24] = MatMul(e, w) { name: "a" }
  b: float32[N, 24] = Tanh(a)
  logits: float32[N, 10] = MatMul(b, h) { name: "head" }
}
`);

const lookups = {
  ...normalSamples([8], 6, 'ids'),
  sample: async (index: number) => {
    const data = BigInt64Array.from({ length: 8 }, (_, at) => BigInt((index * 7 + at * 5) % 40));
    return { kind: 'arrays' as const, arrays: new Map([['', { dtype: 'int64' as const, shape: [8], data }]]) };
  },
};

test('where the curvature says nothing losses follow what was measured at one width, and the report says so', async () => {
  const { report } = await analyse({}, contextIn(scratch), blind, lookups);
  const lookup = report.sites.find(({ site }) => site === 'lookup')!;
  const [two, three, four] = lookup.options;
  expect(three!.measured).toBeGreaterThan(0);
  expect(three!.loss).toBeCloseTo(three!.measured!, 12);
  expect(two!.loss).toBeGreaterThan(three!.loss);
  expect(four!.loss).toBeLessThan(three!.loss);
  expect(report.findings.some(({ site, text }) => site === 'lookup' && /measured at one width/.test(text))).toBe(true);
});

test('what was measured is not measured again, by another run or after a stop', async () => {
  const kept = new Map<string, Uint8Array>();
  const first = contextIn(scratch, { kept });
  const { report } = await analyse({ by: 'measured' }, first);
  const again = contextIn(scratch, { kept });
  const { report: second } = await analyse({ by: 'measured' }, again);
  expect(second).toEqual(report);
  expect(again.sessions()).toBe(0);
  for (const { options } of report.sites) for (const { loss, measured } of options) expect(loss).toBe(measured);
});

test('the same seed gives the same report, another one does not', async () => {
  const run = async (seed: number) =>
    (await analyse({ budget: { average_bits: 3 } }, contextIn(scratch, { seed }))).report;
  expect(await run(1)).toEqual(await run(1));
  expect(await run(1)).not.toEqual(await run(2));
});

test('plan names every site, what is chosen among and what is tied, without reading a weight', () => {
  const options = sensitivityStage.options.parse({ budget: { average_bits: 3 }, ties: ['inputs'], ignore: ['head'] });
  const plan = sensitivityStage.plan(modelOf(network()), options);
  const rows = Object.fromEntries(plan.sites.map(({ site, action, reason }) => [site, { action, reason }]));
  expect(rows.q).toEqual({ action: 'choose among int2 g32, int3 g32, int4 g32, int8 g32', reason: 'like k' });
  expect(rows.head).toEqual({ action: 'left out', reason: 'ignored by "head"' });
  const auto = quantizeStage.options.parse({ method: 'rtn', weights: { bits: 'auto' } });
  const next = quantizeStage.plan(plan.next!, auto);
  expect(next.sites.filter(({ action }) => action.startsWith('int3 g32'))).toHaveLength(5);
});

test.each([
  [{ budget: { average_bits: 3, size: 0.2 } }, /exactly one/],
  [{ bits: [5] }, /.*/],
  [{ verify: { bits: 8 }, bits: [2, 4] }, /none of the bits/],
  [{ search: { tries: 3 } }, /only together with/],
  [{ unknown: 1 }, /unknown/i],
])('options %j are refused', (options, message) => {
  expect(() => sensitivityStage.options.parse(options)).toThrow(message);
});

test('a model without weights to choose is refused', async () => {
  await expect(analyse({ targets: ['nothing'] }, contextIn(scratch))).rejects.toThrow(/no floating-point weight/);
});
