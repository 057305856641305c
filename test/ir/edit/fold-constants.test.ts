import { describe, expect, it } from 'vitest';
import { findSites } from '../../../src/analysis/sites.ts';
import { readOnnx } from '../../../src/artifact/formats/onnx/read.ts';
import { foldConstants } from '../../../src/ir/edit/fold-constants.ts';
import { inlineIf } from '../../../src/ir/edit/inline-if.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { inferShapes } from '../../../src/ir/inference/index.ts';
import { readFloats } from '../../../src/ir/read.ts';
import { DerivedTensor } from '../../../src/ir/tensor.ts';
import { parseProgram as parse } from '../../../src/ir/text/parse.ts';
import { verify } from '../../../src/ir/verify.ts';
import { nodesWithin } from '../../../src/ir/walk.ts';
import { sharedData } from '../../shared.ts';
import { arrayOf, largestDifference, randomFeeds, runProgram } from '../run.ts';
import { expectSameOutputs } from './equivalence.ts';

const fold = (program: Program): number => foldConstants(program);

/** Statements over the constants a, b, c … must fold away; the last one is added to the input or handed out. */
const folded = async (
  statements: string,
  output: string,
  dtype = 'float32',
  opset = 21,
): Promise<readonly string[]> => {
  const text = `program opset=${opset}\ngraph g(x: ${dtype}[1]) -> (y) {\n${statements}\n  y = Add(x, ${output})\n}\n`;
  const tolerance = dtype === 'float32' ? 1e-6 : 0;
  const { ops, program } = await expectSameOutputs(text, fold, { tolerance });
  expect(program.graph.initializers.size).toBe(1);
  return ops;
};

describe('foldConstants gives what onnxruntime computes', () => {
  const a = 'a: float32[2, 3, 4] = random(seed=1)\n';
  it.each([
    ['Transpose', `${a}c = Transpose(a, perm=[2, 0, 1])`],
    ['Reshape', `${a}t: int64[2] = [4, -1]\nc = Reshape(a, t)`],
    ['Squeeze and Unsqueeze', `${a}t: int64[2] = [0, -1]\nb = Unsqueeze(a, t)\nc = Squeeze(b, t)`],
    ['Flatten', `${a}c = Flatten(a, axis=2)`],
    [
      'Slice',
      `${a}s: int64[3] = [1, -1, 3]\ne: int64[3] = [9223372036854775807, -9223372036854775807, 0]\nx3: int64[3] = [0, 1, -1]\np: int64[3] = [1, -1, -2]\nc = Slice(a, s, e, x3, p)`,
    ],
    ['Split', `${a}p: int64[2] = [1, 3]\nb, d = Split(a, p, axis=2)\nc = Mul(b, d)`],
    ['Concat', `${a}c = Concat(a, a2, axis=1)`.replace('c =', 'a2: float32[2, 2, 4] = random(seed=2)\nc =')],
    ['Gather', `${a}i: int64[2, 2] = [[0, -1], [2, 1]]\nc = Gather(a, i, axis=1)`],
    ['Expand', `${a}s: int64[4] = [2, 1, 1, 4]\nc = Expand(a, s)`],
    ['Tile', `${a}r: int64[3] = [2, 1, 3]\nc = Tile(a, r)`],
    ['Pad', `${a}r: int64[6] = [1, 0, 2, 0, 1, 1]\nv: float32[] = 7\nc = Pad(a, r, v)`],
    ['ConstantOfShape', 's: int64[2] = [2, 3]\nc = ConstantOfShape(s, value=tensor(float32[1], [2.5]))'],
    ['Range', 's: float32[] = 1\ne: float32[] = 4.1\nd: float32[] = 0.5\nc = Range(s, e, d)'],
    [
      'arithmetic that broadcasts',
      `${a}b: float32[3, 1] = random(seed=2)\nd = Add(a, b)\ne = Mul(d, a)\nf = Sub(e, b)\nh = Div(f, b)\ni = Max(h, a, b)\nj = Min(i, d)\nc = Neg(j)`,
    ],
    [
      'functions',
      `${a}b = Abs(a)\nd = Sqrt(b)\ne = Exp(a)\nf = Log(b)\nh = Reciprocal(d)\ni = Add(e, f)\nj = Mul(i, h)\nk = Floor(j)\nl = Round(a)\nm = Sign(a)\nn = Relu(a)\no = Ceil(a)\nc = Sum(k, l, m, n, o)`.replace(
        'c = Sum',
        'q = Add(k, l)\nr = Add(m, n)\ns = Add(q, r)\nc = Add(s, o)\nunused = Sum',
      ),
    ],
    ['Pow', `${a}b = Abs(a)\ne: float32[] = 1.5\nc = Pow(b, e)`],
    ['Clip', `${a}lo: float32[] = -0.5\nhi: float32[] = 0.25\nc = Clip(a, lo, hi)`],
    [
      'comparisons and Where',
      `${a}z: float32[] = 0\nb = Greater(a, z)\nd = Not(b)\ne = LessOrEqual(a, z)\nf = Equal(d, e)\nh = And(f, b)\ni = Xor(h, d)\nc = Where(i, a, z)`,
    ],
    [
      'Cast',
      `${a}b = Cast(a, to=10)\nd = Cast(b, to=16)\ne = Cast(d, to=1)\nf = Cast(a, to=7)\nh = Cast(f, to=1)\nc = Add(e, h)`,
    ],
    [
      'reductions',
      `${a}x1: int64[2] = [0, -1]\nb = ReduceSum(a, x1)\nd = ReduceMean(a, x1)\ne = ReduceMax(a, x1)\nf = ReduceMin(a, x1)\nh = ReduceProd(a, x1)\ni = ReduceSumSquare(a, x1)\nj = Add(b, d)\nk = Add(e, f)\nl = Add(h, i)\nm = Add(j, k)\nc = Add(l, m)`,
    ],
    ['Identity', `${a}c = Identity(a)`],
  ])('%s', async (_, statements) => {
    expect(await folded(statements.replace(/\nunused = Sum[^\n]+/, ''), 'c')).toEqual(['Add']);
  });

  it.each([
    [
      'integers',
      'a: int64[4] = [7, -7, 5, 2147483648]\nb: int64[4] = [2, 2, -3, 4]\nd = Div(a, b)\ne = Mod(a, b)\nf = Mod(a, b, fmod=1)\nh = Mul(d, e)\nc = Sub(h, f)',
      'int64',
    ],
    [
      '32-bit integers that wrap around',
      'a: int32[2] = [2147483647, -2147483648]\nb: int32[2] = [1, -1]\nc = Add(a, b)',
      'int32',
    ],
    [
      'sums of integers',
      'a: int64[2, 3] = [[1, 2, 3], [4, 5, 6]]\nx1: int64[1] = [1]\nb = ReduceSum(a, x1)\nd = ReduceProd(a, x1)\nc = Add(b, d)',
      'int64',
    ],
  ])('%s', async (_, statements, dtype) => {
    expect(await folded(statements, 'c', dtype)).toEqual(['Add']);
  });

  it('4-bit constants are moved element by element', async () => {
    const text = `program opset=21
graph g(x: float32[n, 3]) -> (y) {
  codes: int4[5, 3] = integers(seed=1, low=-8, high=8)
  turned = Transpose(codes, perm=[1, 0])
  first: int64[1] = [1]
  last: int64[1] = [4]
  axis: int64[1] = [1]
  part = Slice(turned, first, last, axis)
  scale: float32[] = 0.5
  w = DequantizeLinear(part, scale)
  y = MatMul(x, w)
}
`;
    const { ops, program } = await expectSameOutputs(
      text.replace(/ {2}part = Slice[^\n]+\n/, '').replace('(part,', '(turned,'),
      fold,
    );
    expect(ops).toEqual(['DequantizeLinear', 'MatMul']);
    expect([...program.graph.initializers].map((value) => value.tensor?.dtype)).toContain('int4');
  });

  it('what shapes decide becomes constant; what depends on free dimensions stays', async () => {
    const text = `program opset=21
graph g(x: float32[n, 6, 4]) -> (y, z) {
  dims = Shape(x)
  one: int64[] = 1
  six = Gather(dims, one)
  zero: int64[] = 0
  batch = Gather(dims, zero)
  axes: int64[1] = [0]
  a = Unsqueeze(six, axes)
  b = Unsqueeze(batch, axes)
  four: int64[1] = [4]
  s = Concat(b, four, a, axis=0)
  y = Reshape(x, s)
  sixty: int64[1] = [60]
  t = Mul(a, sixty)
  z = Cast(t, to=1)
}
`;
    const { ops, program } = await expectSameOutputs(text, fold);
    expect(ops).toEqual(['Shape', 'Gather', 'Unsqueeze', 'Concat', 'Reshape']);
    inferShapes(program, { inputShapes: new Map([['x', [2, 6, 4]]]) });
    foldConstants(program);
    expect(program.graph.nodes.map((node) => node.op)).toEqual(['Reshape']);
  });

  it('folds inside branches, where results of a branch may become constants', async () => {
    const { program } = await expectSameOutputs(
      `program opset=21
graph g(x: float32[n], c: bool[]) -> (y) {
  w: float32[2] = [1, 2]
  z = If(c, then_branch=graph t() -> (p) { p = Neg(w) }, else_branch=graph e() -> (q) {
    v: float32[2] = [3, 4]
    u = Exp(v)
    q = Add(u, w)
  })
  total = ReduceSum(z)
  y = Add(x, total)
}
`,
      fold,
      { tolerance: 1e-6 },
    );
    const bodies = program.graph.nodes.find((node) => node.op === 'If')!.subgraphs();
    expect(bodies.map((body) => body.nodes.length)).toEqual([0, 0]);
  });
});

describe('foldConstants leaves alone', () => {
  const nodesAfter = (text: string, options = {}): string[] => {
    const program = parse(text);
    foldConstants(program, options);
    return program.graph.nodes.map((node) => node.op);
  };

  it('a constant that others read too, which would be stored twice', () => {
    const tied = `program opset=21
graph g(ids: int64[n], x: float32[n, 64]) -> (e, y) {
  table: float32[100, 64] = random(seed=1)
  e = Gather(table, ids)
  t = Transpose(table)
  y = MatMul(x, t)
}
`;
    expect(nodesAfter(tied)).toEqual(['Gather', 'Transpose', 'MatMul']);
    expect(nodesAfter(tied, { maxSharedBytes: 1 << 20 })).toEqual(['Gather', 'MatMul']);
  });

  it('results that grow beyond the limit', () => {
    const grown = `program opset=21
graph g(x: float32[n, 1]) -> (y) {
  s: int64[2] = [1000, 1000]
  one: float32[] = 1
  w = Expand(one, s)
  y = Mul(x, w)
}
`;
    expect(nodesAfter(grown)).toEqual(['Expand', 'Mul']);
    expect(nodesAfter(grown, { maxBytes: 4_000_000 })).toEqual(['Mul']);
  });

  it.each([
    ['random numbers', 'w = RandomNormal(shape=[2])'],
    [
      'quantized weights',
      'q: float32[8, 2] = packed(bits=4, seed=1)\n  t: int64[2] = [2, 8]\n  v = Reshape(q, t)\n  w = ReduceSum(v)',
    ],
    ['integers beyond 2^53', 'a: int64[1] = [9007199254740995]\n  b = Add(a, a)\n  w = Cast(b, to=1)'],
    ['integer division by zero', 'a: int64[1] = [1]\n  b: int64[1] = [0]\n  d = Div(a, b)\n  w = Cast(d, to=1)'],
  ])('%s', (_, statements) => {
    const ops = nodesAfter(`program opset=21\ngraph g(x: float32[n]) -> (y) {\n  ${statements}\n  y = Add(x, w)\n}\n`);
    expect(ops.length).toBeGreaterThan(1);
  });

  it('large results until they are read', () => {
    const program = parse(`program opset=21
graph g(x: float32[n, 256]) -> (y) {
  w: float32[128, 256] = random(seed=1)
  t = Transpose(w)
  two: float32[] = 2
  u = Mul(t, two)
  y = MatMul(x, u)
}
`);
    const [source] = [...program.graph.initializers];
    const before = readFloats(source!.tensor!);
    foldConstants(program);
    const [weight] = [...program.graph.initializers];
    expect(weight?.tensor).toBeInstanceOf(DerivedTensor);
    const after = readFloats(weight!.tensor!);
    expect([after[1], after[128]]).toEqual([before[256]! * 2, before[1]! * 2]);
  });
});

describe('inlineIf', () => {
  it('puts the branch that runs in the place of the If, nested ones too', async () => {
    const { ops, result } = await expectSameOutputs(
      `program opset=21
graph g(x: float32[n, 4], c: bool[]) -> (y, z, w) {
  yes: bool[] = true
  four: int64[] = 4
  dims = Shape(x)
  one: int64[] = 1
  width = Gather(dims, one)
  wide = Equal(width, four)
  y, k = If(yes, then_branch=graph t() -> (p, q) {
    a: float32[1] = [3]
    p = Mul(x, a)
    q = If(wide, then_branch=graph t2() -> (p2) {
      a2: float32[1] = [5]
      p2 = Add(p, a2)
    }, else_branch=graph e2() -> (q2) { q2 = Identity(p) })
  }, else_branch=graph e() -> (r, s) {
    r = Neg(x)
    s = Neg(x)
  })
  p = Neg(k)
  z = If(c, then_branch=graph t3() -> (m) { m = Exp(p) }, else_branch=graph e3() -> (o) { o = Abs(p) })
  w = If(yes, then_branch=graph t4() -> (b) { b = Identity(x) }, else_branch=graph e4() -> (d) { d = Neg(x) })
}
`,
      (program) => inlineIf(program),
    );
    expect(result).toBe(3);
    expect(ops).toEqual(['Shape', 'Gather', 'Equal', 'Mul', 'Add', 'Neg', 'If', 'Identity']);
  });
});

const mnist = sharedData('vision-mnist', 'mnist.onnx');
describe.skipIf(!mnist)('mnist.onnx (needs ../shared/data/vision-mnist)', () => {
  it('its reshaped weight becomes a plain site, and the outputs stay', async () => {
    const before = readOnnx(mnist!);
    const after = readOnnx(mnist!);
    expect(findSites(after).map((site) => site.op)).toEqual(['Conv', 'Conv']);
    foldConstants(after);
    expect(findSites(after).map((site) => [site.op, site.rows, site.columns])).toEqual([
      ['Conv', 8, 25],
      ['Conv', 16, 200],
      ['MatMul', 10, 256],
    ]);
    expect(after.graph.inputs.map((value) => value.name)).toEqual(['Input3']);
    expect(verify(after)).toEqual([]);
    const feeds = randomFeeds(before, { Input3: [1, 1, 28, 28] });
    const [a, b] = [await runProgram(before, feeds), await runProgram(after, feeds)];
    expect(largestDifference(a.get('Plus214_Output_0'), b.get('Plus214_Output_0'))).toBeLessThan(1e-4);
  });
});

describe.each([
  ['audio-silero-vad', 'silero_vad_16k_op15.onnx', 'fixed', 0.5],
  ['audio-silero-vad', 'silero_vad.onnx', 'free', 0.9],
])('%s/%s (needs ../shared/data)', (folder, file, inputs, share) => {
  const path = sharedData(folder, file);
  it.skipIf(!path)(
    `folded and inlined for ${inputs} shapes it computes the same with fewer than ${share} of the nodes`,
    async () => {
      const shapes = { input: [1, 512], state: [2, 1, 128], sr: [] };
      const before = readOnnx(path!);
      const after = readOnnx(path!);
      if (inputs === 'fixed') inferShapes(after, { inputShapes: new Map(Object.entries(shapes)) });
      const nodeCount = (): number => [...nodesWithin(after.graph)].filter((node) => node.op !== 'Constant').length;
      const count = nodeCount();
      for (let round = 0; round < 3; round++) {
        foldConstants(after);
        inlineIf(after);
      }
      expect(verify(after)).toEqual([]);
      expect(nodeCount()).toBeLessThan(count * share);
      const feeds = randomFeeds(before, shapes);
      if (feeds.has('sr')) feeds.set('sr', arrayOf('int64', [], [16_000]));
      const [a, b] = [await runProgram(before, feeds), await runProgram(after, feeds)];
      for (const [name, array] of a) expect([name, largestDifference(array, b.get(name)) < 1e-6]).toEqual([name, true]);
    },
  );
});
