import { expect, test } from 'vitest';
import { findSites } from '../../src/analysis/sites.ts';
import { withLayerMoments } from '../../src/curvature/expert-moments.ts';
import { type Curvature, inputMoment, type Moment, positionsPerItem } from '../../src/curvature/moments.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';

const program = parseProgram(`program opset=21
graph g(x: float32[a, 2], y: float32[b, 2], z: float32[c, 2]) -> (o, p, q) {
  u: float32[2, 8] = random(seed=1)
  v: float32[2, 8] = random(seed=2)
  w: float32[2, 8] = random(seed=3)
  o = MatMul(x, u) { name: "seen", block: "0", role: "expert-gate" }
  p = MatMul(y, v) { name: "unseen", block: "0", role: "expert-gate" }
  q = MatMul(z, w) { name: "dense", block: "0", role: "gate" }
}
`);

const momentOf = (sums: readonly number[], n: number, count: number): Moment => ({
  kind: 'full',
  n,
  count,
  matrix: () => Float64Array.from(sums),
  diagonal: () => Float64Array.from({ length: n }, (_, index) => sums[index * (n + 1)]!),
});

const eye = (n: number, value: number): number[] =>
  Array.from({ length: n * n }, (_, index) => (index % (n + 1) === 0 ? value : 0));

const curvatureOf = (counts: Readonly<Record<string, number>>): Curvature => ({
  samples: 1,
  sites: new Map(
    Object.entries(counts).map(([site, count]) => [
      site,
      {
        ...{ site, rows: 8, columns: 2, positions: count, items: 100, trace: 0 },
        inputs: [momentOf([4 * count, count, count, 2 * count], 2, count)],
        gradients: momentOf(eye(8, count), 8, count),
      },
    ]),
  ),
});

test('an expert that no token reached has the moments of its layer, and counts as one token', () => {
  const { sites } = withLayerMoments(curvatureOf({ seen: 50, unseen: 0, dense: 100 }), findSites(program));
  const unseen = sites.get('unseen')!;
  expect([...inputMoment(unseen)]).toEqual([4, 1, 1, 2]);
  expect([...unseen.gradients!.diagonal()]).toEqual(Array(8).fill(1));
  expect(positionsPerItem(unseen)).toBeCloseTo(0.01, 12);
});

test('an expert leans on its layer as if this were as many tokens as a moment has directions', () => {
  const curvature = curvatureOf({ seen: 6, unseen: 2 });
  const own = curvature.sites.get('unseen')!;
  const other = { ...own, inputs: [momentOf([0, 0, 0, 2 * 7], 2, 2)] };
  const { sites } = withLayerMoments(
    { ...curvature, sites: new Map([...curvature.sites, ['unseen', other]]) },
    findSites(program),
  );
  // The layer's mean over 8 tokens, and the own one over 2, in equal parts.
  const layer = [24 / 8, 6 / 8, 6 / 8, (12 + 14) / 8];
  const expected = [0, 0, 0, 7].map((value, index) => (value + layer[index]!) / 2);
  for (const [index, value] of inputMoment(sites.get('unseen')!).entries())
    expect(value).toBeCloseTo(expected[index]!, 12);
});

test('sites that no router feeds stay as they are, and so does a model without experts', () => {
  const curvature = curvatureOf({ seen: 50, unseen: 0, dense: 100 });
  expect(withLayerMoments(curvature, findSites(program)).sites.get('dense')).toBe(curvature.sites.get('dense'));
  const dense = curvatureOf({ dense: 100 });
  expect(withLayerMoments(dense, findSites(program))).toBe(dense);
});
