import { describe, expect, test } from 'vitest';
import { irVersionFor, upgradeOpset } from '../../../src/artifact/formats/onnx/lower/opset.ts';
import type { NumericArray } from '../../../src/calibration/dataset.ts';
import { CompressError, CompressErrors } from '../../../src/errors.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { nodesWithin } from '../../../src/ir/walk.ts';
import { intArray, largestDifference, normalArray, runProgram } from './run.ts';

interface Case {
  readonly what: string;
  readonly opset: number;
  /** Inputs of the graph, as text. */
  readonly inputs: string;
  readonly body: string;
  readonly feeds: Readonly<Record<string, NumericArray>>;
  /** Versions to upgrade to; 21 when not given. */
  readonly to?: readonly number[];
}

const image = normalArray([2, 3, 6, 6], 1);
const imageInput = 'x: float32[2, 3, 6, 6]';

const cases: readonly Case[] = [
  { what: 'Softmax over several axes', opset: 7, inputs: imageInput, body: 'y = Softmax(x)', feeds: { x: image } },
  {
    what: 'Softmax over axes of unknown rank',
    opset: 11,
    inputs: 'x: float32[?, ?, ?]',
    body: 'y = LogSoftmax(x, axis=2) z = Softmax(y, axis=0)',
    feeds: { x: normalArray([2, 3, 4], 5) },
  },
  {
    what: 'Softmax over channels of single pixels',
    opset: 7,
    inputs: 'x: float32[2, 5, 1, 1]',
    body: 'y = Softmax(x, axis=1)',
    feeds: { x: normalArray([2, 5, 1, 1], 3) },
  },
  {
    what: 'Hardmax over several axes',
    opset: 9,
    inputs: imageInput,
    body: 'y = Hardmax(x, axis=2)',
    feeds: { x: image },
  },
  {
    what: 'axes of Squeeze and Unsqueeze',
    opset: 11,
    inputs: 'x: float32[1, 4, 1]',
    body: 's = Squeeze(x, axes=[0, 2]) t = Unsqueeze(s, axes=[1]) u = Squeeze(x) y = Add(t, u)',
    feeds: { x: normalArray([1, 4, 1], 2) },
  },
  {
    what: 'axes of reductions',
    opset: 11,
    inputs: imageInput,
    body: `a = ReduceSum(x, axes=[2, 3], keepdims=1) b = ReduceMean(x, axes=[-1, -2]) c = ReduceMax(x, axes=[2, 3])
           d = ReduceL2(x) e = Add(a, b) f = Mul(e, c) y = Add(f, d)`,
    feeds: { x: image },
  },
  {
    what: 'parts of Split',
    opset: 11,
    inputs: 'x: float32[6, 4]',
    body: 'a, b = Split(x, split=[2, 4]) c, d, e = Split(x, axis=0) f = Concat(b, c, axis=0) y = Concat(f, a, axis=0) z = Mul(d, e)',
    feeds: { x: normalArray([6, 4], 2) },
  },
  {
    what: 'bounds of Clip',
    opset: 7,
    inputs: imageInput,
    body: 'a = Clip(x, min=-0.5) b = Clip(a, max=0.25) c = Clip(b) y = Clip(c, min=-0.25, max=0.125)',
    feeds: { x: image },
  },
  {
    what: 'amounts of Pad',
    opset: 10,
    inputs: imageInput,
    body: `a = Pad(x, pads=[0, 0, 1, 2, 0, 0, 0, 1]) b = Pad(a, pads=[0, 0, 1, 1, 0, 0, 1, 1], mode="reflect")
           y = Pad(b, pads=[0, 1, 0, 0, 0, 0, 0, 0], value=2.5)`,
    feeds: { x: image },
  },
  {
    what: 'ranges of Slice',
    opset: 9,
    inputs: imageInput,
    body: 'a = Slice(x, starts=[1, 0], ends=[9, -1], axes=[1, 3]) y = Slice(a, starts=[1], ends=[2])',
    feeds: { x: image },
  },
  {
    what: 'the number of TopK',
    opset: 9,
    inputs: 'x: float32[3, 8]',
    body: 'y, i = TopK(x, k=3)',
    feeds: { x: normalArray([3, 8], 4) },
  },
  {
    what: 'Dropout and BatchNormalization at inference',
    opset: 7,
    inputs: imageInput,
    body: `s: float32[3] = random(seed=1) b: float32[3] = random(seed=2) m: float32[3] = random(seed=3)
           v: float32[3] = fill(0.5) n = BatchNormalization(x, s, b, m, v, epsilon=0.001, momentum=0.9, spatial=1)
           y, mask = Dropout(n, ratio=0.3)`,
    feeds: { x: image },
    to: [12, 13, 15, 21],
  },
  {
    what: 'enlarging by Upsample',
    opset: 7,
    inputs: imageInput,
    body: 'a = Upsample(x, scales=[1.0, 1.0, 2.0, 1.5]) y = Upsample(a, scales=[1.0, 1.0, 1.5, 2.0], mode="linear")',
    feeds: { x: image },
    to: [9, 10, 11, 13, 21],
  },
  {
    what: 'computed scales of Upsample',
    opset: 9,
    inputs: `${imageInput}, s: float32[4]`,
    body: 'y = Upsample(x, s)',
    feeds: { x: image, s: { dtype: 'float32', shape: [4], data: Float32Array.of(1, 1, 2, 3) } },
  },
  {
    what: 'shrinking by Resize',
    opset: 10,
    inputs: imageInput,
    body: `s: float32[4] = [1, 1, 0.5, 0.7] t: float32[4] = [1, 1, 2, 1.5] a = Resize(x, s) b = Resize(a, t, mode="linear")
           y = Resize(b, t)`,
    feeds: { x: image },
  },
  {
    what: 'Scatter',
    opset: 9,
    inputs: 'x: float32[3, 3], i: int64[2, 3], u: float32[2, 3]',
    body: 'y = Scatter(x, i, u, axis=0)',
    feeds: {
      x: normalArray([3, 3], 1),
      i: intArray([2, 3], [1, 0, 2, 0, 2, 1]),
      u: normalArray([2, 3], 2),
    },
  },
  {
    what: 'RoiAlign without half pixels',
    opset: 10,
    inputs: `${imageInput}, r: float32[1, 4], b: int64[1]`,
    body: 'y = RoiAlign(x, r, b, output_height=3, output_width=3, sampling_ratio=2)',
    feeds: {
      x: image,
      r: { dtype: 'float32', shape: [1, 4], data: Float32Array.of(0, 1, 4, 5) },
      b: intArray([1], [1]),
    },
  },
  {
    what: 'modes of GridSample',
    opset: 16,
    inputs: `${imageInput}, g: float32[2, 3, 3, 2]`,
    body: 'y = GridSample(x, g) z = GridSample(x, g, mode="bicubic")',
    feeds: { x: image, g: normalArray([2, 3, 3, 2], 9) },
  },
  {
    what: 'pooling that rounds its size up',
    opset: 11,
    inputs: imageInput,
    body: 'y = AveragePool(x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)',
    feeds: { x: image },
  },
  {
    what: 'bodies of control flow',
    opset: 10,
    inputs: 'c: bool[], x: float32[1, 4]',
    body: `y = If(c, then_branch=graph a() -> (p) { p = ReduceSum(x, axes=[1]) },
                     else_branch=graph b() -> (q) { r: float32[1, 1] = ReduceMax(x, axes=[1]) q = Clip(r, min=0.0) })`,
    feeds: { c: { dtype: 'bool', shape: [], data: Uint8Array.of(0) }, x: normalArray([1, 4], 4) },
  },
  {
    what: 'functions',
    opset: 12,
    inputs: 'x: float32[2, 4]',
    body: 'y = local::Total(x)',
    feeds: { x: normalArray([2, 4], 4) },
  },
];

const textOf = ({ opset, inputs, body, what }: Case): string => {
  const outputs = /\bz = /.test(body) ? 'y, z' : 'y';
  const local = what === 'functions';
  const domains = local ? ' local=1' : '';
  const definition = local ? 'function local::Total(v) -> (w) opset=12 { w = ReduceSum(v, axes=[1]) }' : '';
  return `program opset=${opset} ir=${opset < 9 ? 3 : 8}${domains} graph main(${inputs}) -> (${outputs}) { ${body} } ${definition}`;
};

const listConstantsAmongInputs = (program: Program): void => {
  if (program.irVersion < 4) program.graph.inputs.push(...program.graph.initializers);
};

describe('raising the operator set keeps what a graph computes', () => {
  test.each(cases)('$what ($opset)', async (given) => {
    const program = parseProgram(textOf(given));
    listConstantsAmongInputs(program);
    const before = await runProgram(program, given.feeds);
    for (const to of given.to ?? [21]) {
      const upgraded = cloneProgram(program);
      upgradeOpset(upgraded, to);
      expect(upgraded.opsets.get('')).toBe(to);
      expect(largestDifference(before, await runProgram(upgraded, given.feeds))).toBeLessThan(1e-6);
    }
  });

  test('is nothing for a program that is there already', () => {
    const program = parseProgram('program opset=17 graph main(x: float32[2]) -> (y) { y = Foo(x) }');
    upgradeOpset(program, 13);
    expect(program.opsets.get('')).toBe(17);
  });

  test('leaves a softmax over one axis a single node', () => {
    const program = parseProgram('program opset=7 graph main(x: float32[n, 5]) -> (y) { y = Softmax(x) }');
    upgradeOpset(program, 13);
    expect(program.graph.nodes.map((node) => [node.op, node.int('axis')])).toEqual([['Softmax', 1]]);
  });

  test('takes constants off the inputs when the IR gets to tell them apart', () => {
    const program = parseProgram(
      'program opset=7 ir=3 graph main(x: float32[2]) -> (y) { w: float32[2] = [1, 2] y = Add(x, w) }',
    );
    listConstantsAmongInputs(program);
    upgradeOpset(program, 21);
    expect(program.graph.inputs.map(({ name }) => name)).toEqual(['x']);
    expect(program.irVersion).toBe(10);
  });

  test('gives every operator set an IR version that may carry it', () => {
    expect([7, 9, 13, 17, 19, 21, 22, 25].map(irVersionFor)).toEqual([4, 4, 7, 8, 9, 10, 10, 13]);
  });
});

const refusal = (body: string, opset: number, inputs = imageInput): CompressError => {
  const program = parseProgram(`program opset=${opset} ir=8 graph main(${inputs}) -> (y) { ${body} }`);
  try {
    upgradeOpset(program, 21);
  } catch (error) {
    if (error instanceof CompressError) return error;
  }
  throw new Error(`nothing was refused, found ${[...nodesWithin(program.graph)].map((node) => node.op)}`);
};

describe('what has no newer equivalent is refused by name', () => {
  test.each([
    [
      'statistics per activation',
      7,
      's: float32[3] = ones y = BatchNormalization(x, s, s, s, s, spatial=0) { name: "bn" }',
      'bn',
    ],
    ['a mask that is read', 7, 'a, m = Dropout(x) y = Add(a, m)', 'a'],
    ['mixed shrinking and enlarging', 10, 's: float32[4] = [1, 1, 2, 0.5] y = Resize(x, s)', 'y'],
    [
      'padded pools that round up',
      11,
      'y = AveragePool(x, kernel_shape=[3, 3], ceil_mode=1, count_include_pad=1)',
      'y',
    ],
    ['groups with their own scale', 18, 's: float32[1] = ones y = GroupNormalization(x, s, s, num_groups=1)', 'y'],
  ])('%s', (_, opset, body, node) => {
    const error = refusal(body, opset);
    expect(error.code).toBe('unsupported');
    expect(error.where.node).toBe(node);
  });

  test('operators that are not in the standard set, all at once', () => {
    const error = refusal('a = ImageScaler(x, scale=2.0) y = Crop(a, border=[0, 0, 1, 1]) { name: "crop" }', 7);
    expect(error).toBeInstanceOf(CompressErrors);
    expect((error as CompressErrors).errors.map(({ where }) => where.node)).toEqual(['a', 'crop']);
  });

  test('operator sets from before 7', () => {
    expect(refusal('y = Relu(x)', 6).message).toMatch(/operator set 6/);
  });
});
