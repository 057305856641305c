import { describe, expect, it } from 'vitest';
import { findSites } from '../../../../../src/analysis/sites.ts';
import { cloneProgram } from '../../../../../src/ir/clone.ts';
import { nameSource } from '../../../../../src/ir/edit/names.ts';
import { inferShapes } from '../../../../../src/ir/inference/index.ts';
import { parseProgram } from '../../../../../src/ir/text/parse.ts';
import { unscaled } from '../../../../../src/stages/quantize/activations/scaling/pattern.ts';
import { rescale } from '../../../../../src/stages/quantize/activations/scaling/rescale.ts';
import { traceScaling } from '../../../../../src/stages/quantize/activations/scaling/trace.ts';
import { normalArray } from '../../../../artifact/lower/run.ts';
import { relativeDifference } from '../workbench.ts';

interface Case {
  readonly name: string;
  readonly input: string;
  /** Computes `y` from `v`, whose channels are scaled, with the weight `out`. */
  readonly body: string;
  readonly axis: number;
  /** Number of factors that may differ. */
  readonly free: number;
}

const head = 'out: float32[8, 4] = random(seed=9)\n y = MatMul(v, out)';
const picture = 'out: float32[3, 8, 1, 1] = random(seed=9)\n y = Conv(v, out)';

const cases: readonly Case[] = [
  {
    name: 'a norm’s gain and shift',
    input: '2, 3, 8',
    body: `g: float32[8] = random(seed=1)\n b: float32[8] = random(seed=2)\n v = LayerNormalization(x, g, b)\n ${head}`,
    axis: -1,
    free: 8,
  },
  {
    name: 'one factor of a product, and a bias',
    input: '2, 3, 6',
    body: `u: float32[6, 8] = random(seed=1)\n b: float32[8] = random(seed=2)\n g: float32[6, 8] = random(seed=3)
 p = MatMul(x, u)\n a = Add(p, b)\n q = MatMul(x, g)\n s = Sigmoid(q)\n v = Mul(s, a)\n ${head}`,
    axis: -1,
    free: 8,
  },
  {
    name: 'a scalar that becomes a vector',
    input: '2, 6',
    body: `u: float32[6, 8] = random(seed=1)\n b: float32[] = 2\n p = MatMul(x, u)\n v = Add(p, b)\n ${head}`,
    axis: -1,
    free: 8,
  },
  {
    name: 'a Gemm with a transposed weight',
    input: '2, 6',
    body: `u: float32[8, 6] = random(seed=1)\n b: float32[8] = random(seed=2)\n p = Gemm(x, u, b, transB=1, beta=0.5)\n v = Relu(p)\n ${head}`,
    axis: -1,
    free: 8,
  },
  {
    name: 'values that two heads share',
    input: '1, 5, 6',
    body: `u: float32[6, 4] = random(seed=1)\n w: float32[1, 2, 5, 5] = random(seed=2)\n p = MatMul(x, u)
 s1 = Constant(value_ints=[1, 5, 1, 4])\n r = Reshape(p, s1)\n t = Transpose(r, perm=[0, 2, 1, 3])\n c = MatMul(w, t)
 m = Transpose(c, perm=[0, 2, 1, 3])\n s2 = Constant(value_ints=[1, 5, 8])\n v = Reshape(m, s2)\n ${head}`,
    axis: -1,
    free: 4,
  },
  {
    name: 'a part of what is split',
    input: '2, 6',
    body: `u: float32[6, 16] = random(seed=1)\n p = MatMul(x, u)\n s1 = Constant(value_ints=[8, 8])\n a, b = Split(p, s1, axis=1)
 c = Sigmoid(a)\n v = Mul(c, b)\n ${head}`,
    axis: -1,
    free: 8,
  },
  {
    name: 'a convolution, a Relu and a pool',
    input: '1, 4, 8, 8',
    body: `u: float32[8, 4, 3, 3] = random(seed=1)\n b: float32[8] = random(seed=2)\n c = Conv(x, u, b)\n r = Relu(c)
 v = MaxPool(r, kernel_shape=[2, 2])\n ${picture}`,
    axis: 1,
    free: 8,
  },
  {
    name: 'convolutions whose results are joined',
    input: '1, 4, 8, 8',
    body: `u: float32[3, 4, 1, 1] = random(seed=1)\n w: float32[5, 4, 1, 1] = random(seed=2)\n c = Conv(x, u)\n d = Conv(x, w)
 v = Concat(c, d, axis=1)\n ${picture}`,
    axis: 1,
    free: 8,
  },
  {
    name: 'a depthwise convolution before a grouped one',
    input: '1, 8, 6, 6',
    body: `u: float32[8, 1, 3, 3] = random(seed=1)\n v = Conv(x, u, group=8)\n out: float32[4, 4, 1, 1] = random(seed=9)\n y = Conv(v, out, group=2)`,
    axis: 1,
    free: 8,
  },
];

const parse = (input: string, body: string) => {
  const program = parseProgram(`program opset=17\ngraph main(x: float32[${input}]) -> (y) {\n ${body}\n}`);
  inferShapes(program);
  return program;
};

describe('scaling the channels of a value is folded into', () => {
  it.each(cases)('$name', async ({ input, body, axis, free }) => {
    const program = parse(input, body);
    const copy = cloneProgram(program);
    const readers = findSites(copy).filter(({ weight }) => weight.name === 'out');
    const value = readers[0]!.input;
    const folding = traceScaling(value, axis, new Set(copy.graph.outputs))!;
    expect(new Set([...folding.classes].filter((id) => id !== unscaled)).size).toBe(free);
    const divisors = Float32Array.from(folding.classes, (id) => (id === unscaled ? 1 : 1.3 ** id));
    const nodes = copy.graph.nodes.length;
    rescale(copy.graph, { value, readers, divisors, folding }, nameSource(copy.graph));
    expect(copy.graph.nodes).toHaveLength(nodes);
    const feeds = { x: normalArray(input.split(', ').map(Number), 1) };
    expect(await relativeDifference(program, copy, feeds)).toBeLessThan(1e-5);
  });
});

const obstacles = [
  {
    name: 'a bounded activation',
    body: `u: float32[6, 8] = random(seed=1)\n p = MatMul(x, u)\n a: float32[] = 0\n b: float32[] = 6\n v = Clip(p, a, b)`,
  },
  {
    name: 'something else that reads on the way',
    body: 'u: float32[6, 8] = random(seed=1)\n p = MatMul(x, u)\n v = Relu(p)\n z = Neg(p)',
  },
  { name: 'a square', body: 'u: float32[6, 8] = random(seed=1)\n p = MatMul(x, u)\n v = Mul(p, p)' },
  { name: 'a softmax', body: 'u: float32[6, 8] = random(seed=1)\n p = MatMul(x, u)\n v = Softmax(p, axis=-1)' },
];

describe('scaling is not folded through', () => {
  it.each(obstacles)('$name', ({ body }) => {
    const program = parse('2, 6', `${body}\n ${head}`);
    const value = findSites(program).find(({ weight }) => weight.name === 'out')!.input;
    expect(traceScaling(value, -1, new Set(program.graph.outputs))).toBeUndefined();
  });

  it('an input of the model, so that a product computes it', async () => {
    const program = parse('2, 8', 'out: float32[8, 4] = random(seed=9)\n y = MatMul(x, out)');
    const copy = cloneProgram(program);
    const readers = findSites(copy);
    const value = readers[0]!.input;
    expect(traceScaling(value, -1, new Set(copy.graph.outputs))).toBeUndefined();
    const divisors = Float32Array.from({ length: 8 }, (_, channel) => 1.5 ** channel);
    rescale(copy.graph, { value, readers, divisors, folding: undefined }, nameSource(copy.graph));
    expect(copy.graph.nodes.map(({ op }) => op)).toEqual(['Mul', 'MatMul']);
    expect(await relativeDifference(program, copy, { x: normalArray([2, 8], 1) })).toBeLessThan(1e-6);
  });
});
