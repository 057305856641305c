import { describe, expect, test } from 'vitest';
import { measureCost } from '../../../src/analysis/cost.ts';
import { readSiteMatrix } from '../../../src/analysis/site-weights.ts';
import { findSites } from '../../../src/analysis/sites.ts';
import { floatArray, floatsOfArray } from '../../../src/execution/arrays.ts';
import { onnxruntimeEngine } from '../../../src/execution/onnxruntime.ts';
import { withSession } from '../../../src/execution/session.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { inferShapes } from '../../../src/ir/inference/index.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { verify } from '../../../src/ir/verify.ts';
import { Random } from '../../../src/random.ts';
import { factorObstacle, factorSite } from '../../../src/stages/factorize/factor-site.ts';
import { canonicalFactors } from '../../../src/stages/factorize/methods/canonical.ts';
import { plainSvd } from '../../../src/stages/factorize/methods/plain-svd.ts';
import { tensorOfMatrix, tensorRing, tensorTrain } from '../../../src/stages/factorize/methods/tensor-train.ts';
import { decomposeTucker } from '../../../src/stages/factorize/methods/tucker.ts';
import { writeCanonical } from '../../../src/stages/factorize/write/canonical.ts';
import { writeTrain } from '../../../src/stages/factorize/write/train.ts';
import { writeTucker } from '../../../src/stages/factorize/write/tucker.ts';

const graphs: Readonly<Record<string, string>> = {
  MatMul: `x: float32[2, 3, 6]) -> (y: float32[2, 3, 5]) {
    w: float32[6, 5] = random(seed=1)
    y = MatMul(x, w) { name: "up", role: "up", block: "2" }`,
  'Gemm with a transposed weight, a bias and alpha': `x: float32[4, 6]) -> (y: float32[4, 5]) {
    w: float32[5, 6] = random(seed=1)
    b: float32[5] = random(seed=2)
    y = Gemm(x, w, b, transB=1, alpha=0.5) { name: "up", role: "up", block: "2" }`,
  'Gemm with a plain weight': `x: float32[4, 6]) -> (y: float32[4, 5]) {
    w: float32[6, 5] = random(seed=1)
    y = Gemm(x, w) { name: "up", role: "up", block: "2" }`,
  'Conv with strides, padding and a bias': `x: float32[2, 3, 7, 8]) -> (y: float32[2, 5, 4, 8]) {
    w: float32[5, 3, 3, 3] = random(seed=1)
    b: float32[5] = random(seed=2)
    y = Conv(x, w, b, strides=[2, 1], pads=[1, 1, 1, 1], kernel_shape=[3, 3]) { name: "up", role: "up", block: "2" }`,
};

const programOf = (name: string): Program => parseProgram(`program opset=21\ngraph main(${graphs[name]!}\n}`);

const run = (program: Program, shape: readonly number[]): Promise<Float32Array> => {
  const count = shape.reduce((product, length) => product * length, 1);
  const x = floatArray(shape, Float32Array.from(new Random(4, 'input').normals(count)));
  return withSession(onnxruntimeEngine, program, {}, async (session) =>
    floatsOfArray((await session.run(new Map([['x', x]]))).get('y')!),
  );
};

describe.each(Object.keys(graphs))('%s', (name) => {
  test('at full rank two products compute what one did, and the graph is sound', async () => {
    const original = programOf(name);
    const program = cloneProgram(original);
    const [site] = findSites(program);
    const { rows, columns } = site!;
    const weight = Float64Array.from(readSiteMatrix(site!));
    const { fullRank, factors } = await plainSvd.decompose({
      weight,
      rows,
      columns,
      a: new Float64Array(columns ** 2),
      b: undefined,
    });
    expect(factorObstacle(site!)).toBeUndefined();
    factorSite(site!, factors(fullRank), fullRank);
    expect(verify(program)).toEqual([]);
    inferShapes(program);
    const { type } = original.graph.inputs[0]!;
    const shape = type?.kind === 'tensor' ? (type.shape ?? []).map(Number) : [];
    const [before, after] = [await run(original, shape), await run(program, shape)];
    before.forEach((value, index) => {
      expect(after[index]).toBeCloseTo(value, 4);
    });
    expect(
      findSites(program).map(({ name, role, block, rows, columns }) => [name, role, block, rows, columns]),
    ).toEqual([
      ['up.right', 'up', 2, fullRank, columns],
      ['up', 'up', 2, rows, fullRank],
    ]);
  });

  test('the old weight is gone', async () => {
    const program = programOf(name);
    const [site] = findSites(program);
    const { rows, columns } = site!;
    const before = measureCost(program).parameters;
    factorSite(site!, { left: new Float64Array(rows), right: new Float64Array(columns) }, 1);
    expect(measureCost(program).parameters).toBe(before - rows * columns + rows + columns);
  });
});

test('a convolution as three computes the same at full ranks', async () => {
  const name = 'Conv with strides, padding and a bias';
  const original = programOf(name);
  const program = cloneProgram(original);
  const [site] = findSites(program);
  const { rows, columns } = site!;
  const identity = (n: number): Float64Array =>
    Float64Array.from({ length: n * n }, (_, index) => (index % (n + 1) === 0 ? 1 : 0));
  const weight = Float64Array.from(readSiteMatrix(site!));
  const ranks = { rows, channels: 3 };
  const decomposition = await decomposeTucker({
    weight,
    rows,
    columns,
    channels: 3,
    a: identity(columns),
    b: undefined,
  });
  writeTucker(site!, await decomposition.factors(ranks), ranks);
  expect(verify(program)).toEqual([]);
  inferShapes(program);
  const [before, after] = [await run(original, [2, 3, 7, 8]), await run(program, [2, 3, 7, 8])];
  before.forEach((value, index) => {
    expect(after[index]).toBeCloseTo(value, 4);
  });
  expect(findSites(program).map((one) => [one.name, one.rows, one.columns])).toEqual([
    // Nine numbers are too few to be a site of their own.
    ['up.right', rows, 27],
    ['up', rows, rows],
  ]);
  expect([...program.graph.initializers].some(({ name: constant }) => constant === 'w')).toBe(false);
});

test('a convolution as canonical terms computes what its terms say', async () => {
  const original = programOf('Conv with strides, padding and a bias');
  const program = cloneProgram(original);
  const [site] = findSites(program);
  const { rows, columns } = site!;
  const a = Float64Array.from({ length: columns ** 2 }, (_, index) => (index % (columns + 1) === 0 ? 1 : 0));
  const weight = Float64Array.from(readSiteMatrix(site!));
  const input = { weight, rows, columns, channels: 3, a, b: undefined };
  writeCanonical(site!, await canonicalFactors(input, columns), columns);
  expect(verify(program)).toEqual([]);
  inferShapes(program);
  const [before, after] = [await run(original, [2, 3, 7, 8]), await run(program, [2, 3, 7, 8])];
  before.forEach((value, index) => {
    expect(after[index]).toBeCloseTo(value, 1);
  });
  expect(program.graph.nodes.map(({ op }) => op)).toEqual(['Conv', 'Conv', 'Conv']);
});

describe.each([
  ['train', tensorTrain],
  ['ring', tensorRing],
] as const)('a product as a tensor %s', (_, decompose) => {
  test.each([
    ['with three cores', '2, 5, 12', '', 'y = MatMul(x, w)', [2, 5, 12], { rows: [2, 3, 3], columns: [3, 2, 2] }],
    [
      'with two cores and a bias',
      '4, 12',
      'b: float32[18] = random(seed=2)',
      'y = Gemm(x, w, b)',
      [4, 12],
      { rows: [3, 6], columns: [4, 3] },
    ],
  ] as const)('%s computes the same where nothing is cut off', async (__, inputs, bias, node, shape, lengths) => {
    const original = parseProgram(`program opset=21
graph main(x: float32[${inputs}]) -> (y: float32[${[...shape.slice(0, -1), 18].join(', ')}]) {
  w: float32[12, 18] = random(seed=1)
  ${bias}
  ${node}
}`);
    const program = cloneProgram(original);
    const [site] = findSites(program);
    const cores = await decompose(tensorOfMatrix(readSiteMatrix(site!), lengths), lengths, { cutOff: 0 });
    writeTrain(site!, cores, lengths);
    expect(verify(program)).toEqual([]);
    inferShapes(program);
    const [before, after] = [await run(original, shape), await run(program, shape)];
    before.forEach((value, index) => {
      expect(after[index]).toBeCloseTo(value, 4);
    });
    expect([...program.graph.initializers].some(({ name }) => name === 'w')).toBe(false);
  });
});

test('weights that have no two factors are named with the reason', () => {
  const obstacles = (body: string): (string | undefined)[] =>
    findSites(parseProgram(`program opset=21\ngraph main(${body}\n}`)).map(factorObstacle);
  expect(
    obstacles(`x: float32[2, 6]) -> (y: float32[2, 6]) {
      w: float32[6, 6] = random(seed=1)
      h = MatMul(x, w)
      y = MatMul(h, w)`),
  ).toEqual(['its constant is read in several places', 'its constant is read in several places']);
  expect(
    obstacles(`x: float32[1, 4, 5, 5]) -> (y: float32[1, 4, 5, 5]) {
      w: float32[4, 1, 3, 3] = random(seed=1)
      y = Conv(x, w, group=4, pads=[1, 1, 1, 1])`),
  ).toEqual(['grouped convolutions have few inputs an output']);
});
