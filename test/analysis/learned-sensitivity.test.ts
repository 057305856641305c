import { describe, expect, test } from 'vitest';
import { featureNames, weightFeatures } from '../../src/analysis/learned-sensitivity/features.ts';
import { learnedSensitivities } from '../../src/analysis/learned-sensitivity/predict.ts';
import { inSeries } from '../../src/analysis/learned-sensitivity/series.ts';
import { readSiteMatrix, writeSiteMatrix } from '../../src/analysis/site-weights.ts';
import { findSites } from '../../src/analysis/sites.ts';
import { cloneProgram } from '../../src/ir/clone.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { tinyLlama } from '../stages/distill/workbench.ts';

const blockSites = async () => {
  const { program } = await tinyLlama();
  return [program, findSites(program).filter(({ block }) => block !== undefined)] as const;
};

describe('features of weights', () => {
  test('are standardised over the weights of a model', async () => {
    const rows = await weightFeatures(...(await blockSites()));
    featureNames.forEach((name, feature) => {
      const values = rows.map((row) => row[feature]!);
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const square = values.reduce((sum, value) => sum + value ** 2, 0) / values.length;
      expect(mean, name).toBeCloseTo(0, 9);
      expect([0, 1], name).toContain(Math.round(square * 1e6) / 1e6);
    });
  });

  test('say the same of a model whose weights are all twice as large', async () => {
    const { program } = await tinyLlama();
    const twice = cloneProgram(program);
    const sitesOf = (of: typeof program) => findSites(of).filter(({ block }) => block !== undefined);
    for (const site of sitesOf(twice))
      writeSiteMatrix(
        site,
        readSiteMatrix(site).map((value) => 2 * value),
      );
    const [one, other] = [
      await learnedSensitivities(program, sitesOf(program)),
      await learnedSensitivities(twice, sitesOf(twice)),
    ];
    for (const [name, value] of one) expect(other.get(name)).toBeCloseTo(value, 4);
  });
});

test('some weights are predicted to matter more than others, around one', async () => {
  const values = [...(await learnedSensitivities(...(await blockSites()))).values()];
  const logs = values.map(Math.log);
  expect(logs.reduce((sum, value) => sum + value, 0) / logs.length).toBeCloseTo(0, 6);
  expect(Math.max(...values) / Math.min(...values)).toBeGreaterThan(2);
});

test('a weight is in series where nothing passes it by but sizes and weights', () => {
  const { graph, ...rest } = parseProgram(`program opset=21
graph g(x: float32[N, 8]) -> (y) {
  overridden: float32[8, 8] = random(seed=9)
  w: float32[8, 8] = random(seed=1)
  v: float32[8, 8] = random(seed=2)
  u: float32[8, 8] = random(seed=3)
  a = MatMul(x, w) { name: "first" }
  b = MatMul(a, v) { name: "branch" }
  c = Add(a, b)
  size = Shape(x)
  d = Reshape(c, size)
  e = MatMul(d, overridden) { name: "given" }
  y = MatMul(e, u) { name: "last" }
}
`);
  const sites = findSites({ graph, ...rest });
  // Old files list weights among the inputs.
  graph.inputs.push(sites.find(({ name }) => name === 'given')!.node.inputs[1]!);
  const found = inSeries(graph, sites);
  expect(Object.fromEntries(sites.map(({ name }, index) => [name, found[index]]))).toEqual({
    first: true,
    branch: false,
    given: true,
    last: true,
  });
});
