import { describe, expect, test } from 'vitest';
import { encodeProgram } from '../../../../src/artifact/formats/onnx/write.ts';
import type { NumericArray } from '../../../../src/calibration/dataset.ts';
import type { Node, Program } from '../../../../src/ir/graph.ts';
import { PackedTensor } from '../../../../src/ir/packed-tensor.ts';
import { readNumbers } from '../../../../src/ir/read.ts';
import { parseProgram } from '../../../../src/ir/text/parse.ts';
import { verify } from '../../../../src/ir/verify.ts';
import { constantOf, nodesWithin } from '../../../../src/ir/walk.ts';
import type { RunEvent } from '../../../../src/recipe/events.ts';
import type { StaticOptions } from '../../../../src/stages/quantize/activations/options.ts';
import { quantizeStatic } from '../../../../src/stages/quantize/activations/static.ts';
import { largestDifference, normalArray, runProgram } from '../../../artifact/lower/run.ts';
import {
  contextOf,
  datasetOf,
  modelOf,
  normalSamples,
  relativeDifference,
  scaleOf,
  staticOptions,
} from './workbench.ts';

const quantize = async (
  program: Program,
  samples: readonly Readonly<Record<string, NumericArray>>[],
  changes: Partial<StaticOptions> = {},
  events: RunEvent[] = [],
) => {
  const result = await quantizeStatic(modelOf(program), staticOptions(changes), contextOf(datasetOf(samples), events));
  expect(verify(result.model.program).map((problem) => problem.message)).toEqual([]);
  return { program: result.model.program, findings: result.findings };
};

const ops = (program: Program): string[] => [...nodesWithin(program.graph)].map((node) => node.op);
const nodeOf = (program: Program, op: string): Node => [...nodesWithin(program.graph)].find((node) => node.op === op)!;

/** The constants that an input of a node is dequantized from. */
const dequantized = (node: Node, index: number) => {
  const source = node.inputs[index]!.producer!;
  expect(source.op).toBe('DequantizeLinear');
  return {
    axis: source.int('axis'),
    codes: constantOf(source.inputs[0]),
    scales: Array.from(readNumbers(constantOf(source.inputs[1])!)),
    scaleValue: source.inputs[1],
  };
};

const graphOf = (input: string, body: string, output = 'y', opset = 13): Program =>
  parseProgram(`program opset=${opset}
graph main(x: float32[${input}]) -> (${output}) {
${body}
}`);

const small = graphOf(
  '1, 3, 8, 8',
  ` w1: float32[6, 3, 3, 3] = random(seed=1, scale=0.3)
 b1: float32[6] = random(seed=2)
 a = Conv(x, w1, b1, pads=[1, 1, 1, 1])
 r = Relu(a)
 w2: float32[6, 6, 3, 3] = random(seed=3, scale=0.2)
 c = Conv(r, w2, pads=[1, 1, 1, 1])
 s = Add(c, r)
 t = Relu(s)
 g = GlobalAveragePool(t)
 f = Flatten(g)
 w3: float32[6, 10] = random(seed=4)
 b3: float32[10] = random(seed=5)
 y = Gemm(f, w3, b3)`,
);
const smallSamples = normalSamples('x', [1, 3, 8, 8]);

describe('a statically quantized network', () => {
  test('computes nearly what it computed before', async () => {
    const { program } = await quantize(small, smallSamples);
    expect(await relativeDifference(small, program, smallSamples[3]!)).toBeLessThan(0.03);
  });

  test('has integers around every operator between its first and its last product', async () => {
    const { program } = await quantize(small, smallSamples);
    for (const op of ['Conv', 'Add', 'GlobalAveragePool', 'Gemm'])
      for (const node of [...nodesWithin(program.graph)].filter((candidate) => candidate.op === op))
        expect(node.inputs[0]!.producer!.op).toBe('DequantizeLinear');
    expect(ops(program)).not.toContain('Relu');
  });

  test('keeps names and types of inputs and outputs', async () => {
    const { program } = await quantize(small, smallSamples);
    expect(program.graph.inputs.map((value) => value.name)).toEqual(['x']);
    expect(program.graph.outputs.map((value) => value.name)).toEqual(['y']);
    const outputs = await runProgram(program, smallSamples[0]!);
    expect([...outputs.values()][0]!.dtype).toBe('float32');
  });

  test('gives the same under the integer kernels that runtimes put in its place', async () => {
    const { program } = await quantize(small, smallSamples);
    const plain = await runProgram(program, smallSamples[0]!, { optimization: 'none' });
    const fused = await runProgram(program, smallSamples[0]!);
    expect(largestDifference(plain, fused) / scaleOf(plain)).toBeLessThan(0.01);
  });

  test('has the same bytes every time', async () => {
    const [first, second] = [await quantize(small, smallSamples), await quantize(small, smallSamples)];
    expect(Buffer.compare(encodeProgram(first.program), encodeProgram(second.program))).toBe(0);
  });

  test('leaves the program it came from as it was', async () => {
    const before = encodeProgram(small);
    await quantize(small, smallSamples);
    expect(Buffer.compare(before, encodeProgram(small))).toBe(0);
  });

  test('tells of every site that it finished', async () => {
    const events: RunEvent[] = [];
    await quantize(small, smallSamples, {}, events);
    expect(events.filter((event) => event.type === 'site-finished')).toHaveLength(3);
  });

  test.each([
    { type: 'int8', weightType: 'int8' },
    { type: 'int8', weightType: 'int8', symmetric: true },
    { symmetric: true },
    { granularity: 'tensor' },
    { weightType: 'int8', weightBits: 7 },
    { ranges: { method: 'percentile', percentile: 99.99 } },
    { ranges: { method: 'mse', percentile: 100 } },
    { head: 'quantized' },
  ] as const)('does so with %j', async (changes) => {
    const { program } = await quantize(small, smallSamples, changes);
    expect(await relativeDifference(small, program, smallSamples[3]!)).toBeLessThan(0.08);
  });
});

test('a network whose numbers lie on the grids is computed exactly', async () => {
  const program = graphOf(
    '1, 1, 4, 4',
    ` w: float32[2, 1, 3, 3] = [[[[127, 1, 2], [3, 4, 5], [6, 7, 8]]], [[[-127, 0, 9], [8, 7, 6], [5, 4, 3]]]]
 b: float32[2] = [8, -16]
 y = Conv(x, w, b, pads=[1, 1, 1, 1])`,
  );
  const numbers = Float32Array.from({ length: 16 }, (_, index) => index * 17);
  const samples = [{ x: { dtype: 'float32', shape: [1, 1, 4, 4], data: numbers } as NumericArray }];
  const quantized = (await quantize(program, samples)).program;
  const conv = nodeOf(quantized, 'Conv');
  expect(dequantized(conv, 1).scales).toEqual([1, 1]);
  expect(Array.from(readNumbers(dequantized(conv, 2).codes!))).toEqual([8, -16]);
  const [rounded] = [...(await runProgram(quantized, samples[0]!)).values()];
  const [exact] = [...(await runProgram(program, samples[0]!)).values()];
  const step = (Math.max(...(exact!.data as Float32Array)) - Math.min(...(exact!.data as Float32Array))) / 255;
  const differences = (exact!.data as Float32Array).map((value, index) =>
    Math.abs(value - Number(rounded!.data[index])),
  );
  expect(Math.max(...differences)).toBeLessThanOrEqual(step * 0.51);
});

describe('weights have one scale per output channel', () => {
  const weightShapes = [
    { op: 'Conv', shape: '6, 4, 1, 1', attributes: '', axis: 0, input: '1, 4, 5, 5' },
    { op: 'ConvTranspose', shape: '4, 6, 2, 2', attributes: '', axis: 1, input: '1, 4, 5, 5' },
    { op: 'MatMul', shape: '4, 6', attributes: '', axis: 1, input: '3, 2, 4' },
    { op: 'Gemm', shape: '4, 6', attributes: '', axis: 1, input: '3, 4' },
    { op: 'Gemm', shape: '6, 4', attributes: ', transB=1', axis: 0, input: '3, 4' },
  ] as const;
  test.each(weightShapes)(
    '$op [$shape]$attributes along axis $axis',
    async ({ op, shape, attributes, axis, input }) => {
      const program = graphOf(
        input,
        ` w: float32[${shape}] = random(seed=1)
 y = ${op}(x, w${attributes})`,
      );
      const samples = normalSamples('x', input.split(', ').map(Number));
      const quantized = (await quantize(program, samples)).program;
      const weight = dequantized(nodeOf(quantized, op), 1);
      expect(weight.axis).toBe(axis);
      expect(weight.scales).toHaveLength(6);
      expect(weight.codes!.dtype).toBe('uint8');
      expect(await relativeDifference(program, quantized, samples[0]!)).toBeLessThan(0.03);
    },
  );
});

describe('clamps', () => {
  const clamped = (clamp: string) =>
    graphOf(
      '1, 4, 4, 4',
      ` w: float32[4, 4, 1, 1] = random(seed=1)
 a = Conv(x, w)
 low: float32[] = 0
 six: float32[] = 6
 half: float32[] = 0.5
 r = ${clamp}
 y = Conv(r, w)`,
    );
  const samples = normalSamples('x', [1, 4, 4, 4], 4);

  test.each(['Relu(a)', 'Clip(a, low, six)', 'Clip(a, low, half)'])(
    '%s goes where the grid does its work',
    async (clamp) => {
      const program = clamped(clamp);
      const quantized = (await quantize(program, samples)).program;
      expect(ops(quantized)).not.toContain(clamp.slice(0, 4));
      expect(await relativeDifference(program, quantized, samples[1]!)).toBeLessThan(0.03);
    },
  );

  test('stay where the grid reaches further', async () => {
    const program = clamped('Relu(a)');
    const quantized = (await quantize(program, samples, { type: 'int8', weightType: 'int8', symmetric: true })).program;
    expect(ops(quantized)).toContain('Relu');
    expect(await relativeDifference(program, quantized, samples[1]!)).toBeLessThan(0.05);
  });
});

describe('shared grids', () => {
  test('both branches of a Concat and its result have one scale', async () => {
    const program = graphOf(
      '1, 4, 4, 4',
      ` w1: float32[4, 4, 1, 1] = random(seed=1)
 w2: float32[4, 4, 1, 1] = random(seed=2, scale=9)
 w3: float32[4, 8, 1, 1] = random(seed=3)
 a = Conv(x, w1)
 b = Conv(x, w2)
 c = Concat(a, b, axis=1)
 y = Conv(c, w3)`,
    );
    const quantized = (await quantize(program, normalSamples('x', [1, 4, 4, 4]))).program;
    const concat = nodeOf(quantized, 'Concat');
    const result = concat.outputs[0]!.uses[0]!.node;
    expect(dequantized(concat, 0).scaleValue).toBe(dequantized(concat, 1).scaleValue);
    expect(result.inputs[1]).toBe(dequantized(concat, 0).scaleValue);
  });
});

test('readers that work in floating point see the value before it is rounded', async () => {
  const program = graphOf(
    '2, 4',
    ` w: float32[4, 4] = random(seed=1)
 e = Exp(x)
 p = MatMul(e, w)
 y = Add(p, e)`,
  );
  const quantized = (await quantize(program, normalSamples('x', [2, 4]))).program;
  expect(nodeOf(quantized, 'Add').inputs[1]!.producer!.op).toBe('Exp');
  expect(nodeOf(quantized, 'MatMul').inputs[0]!.producer!.op).toBe('DequantizeLinear');
});

test('a constant operand of integer arithmetic is quantized too', async () => {
  const program = graphOf(
    '1, 4, 4, 4',
    ` w: float32[4, 4, 1, 1] = random(seed=1)
 k: float32[4, 1, 1] = [[[0.5]], [[-1]], [[2]], [[0]]]
 a = Conv(x, w)
 m = Mul(a, k)
 y = Conv(m, w)`,
  );
  const samples = normalSamples('x', [1, 4, 4, 4]);
  const quantized = (await quantize(program, samples)).program;
  expect(dequantized(nodeOf(quantized, 'Mul'), 1).codes!.dtype).toBe('uint8');
  expect(await relativeDifference(program, quantized, samples[2]!)).toBeLessThan(0.03);
});

test('a bias far larger than what its weights can make widens their scale instead of overflowing', async () => {
  const program = graphOf(
    '1, 2, 4, 4',
    ` w: float32[2, 2, 2, 2] = [[[[1e-12, 0], [0, 0]], [[0, 0], [0, 0]]], [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]]
 b: float32[2] = [1000, 1]
 y = Conv(x, w, b)`,
  );
  const samples = normalSamples('x', [1, 2, 4, 4]);
  const quantized = (await quantize(program, samples)).program;
  expect(await relativeDifference(program, quantized, samples[0]!)).toBeLessThan(0.01);
});

test('values that never leave zero are quantized', async () => {
  const program = graphOf('1, 2, 2, 2', ' w: float32[8, 2, 1, 1] = random(seed=1)\n y = Conv(x, w)');
  const zeros = { x: { ...normalArray([1, 2, 2, 2], 1), data: new Float32Array(8) } };
  const quantized = (await quantize(program, [zeros])).program;
  const [result] = [...(await runProgram(quantized, zeros)).values()];
  expect([...(result!.data as Float32Array)].every((value) => value === 0)).toBe(true);
});

describe('branches of If', () => {
  const program = parseProgram(`program opset=13
graph main(x: float32[1, 4], first: bool[]) -> (y) {
 w0: float32[4, 4] = random(seed=9)
 a = MatMul(x, w0)
 y = If(first,
   then_branch=graph t() -> (p) {
     w1: float32[4, 4] = random(seed=1)
     p = MatMul(a, w1) { name: "taken" }
   },
   else_branch=graph e() -> (q) {
     w2: float32[4, 4] = random(seed=2)
     q = MatMul(a, w2) { name: "other" }
   })
}`);
  const sample = (seed: number, first: number): Record<string, NumericArray> => ({
    x: normalArray([1, 4], seed),
    first: { dtype: 'bool', shape: [], data: Uint8Array.of(first) },
  });

  test('are quantized by the runs that take them', async () => {
    const samples = [sample(1, 1), sample(2, 0), sample(3, 1), sample(4, 0)];
    const { program: quantized, findings } = await quantize(program, samples);
    expect(findings.filter(({ kind }) => kind !== 'fact')).toEqual([]);
    for (const node of [...nodesWithin(quantized.graph)].filter((candidate) => candidate.op === 'MatMul'))
      expect(node.inputs[1]!.producer!.op).toBe('DequantizeLinear');
    for (const each of samples) {
      expect(await relativeDifference(program, quantized, each)).toBeLessThan(0.05);
      const fused = await runProgram(quantized, each);
      expect(largestDifference(await runProgram(program, each), fused) / scaleOf(fused)).toBeLessThan(0.05);
    }
  });

  test('that are never taken still share what is known, and are told of where nothing is', async () => {
    const inner = parseProgram(`program opset=13
graph main(x: float32[1, 4], first: bool[]) -> (y) {
 y = If(first,
   then_branch=graph t() -> (p) {
     w1: float32[4, 4] = random(seed=1)
     h = Tanh(x)
     p = MatMul(h, w1) { name: "taken" }
   },
   else_branch=graph e() -> (q) {
     w2: float32[4, 4] = random(seed=2)
     g = Neg(x)
     q = MatMul(g, w2) { name: "other" }
   })
}`);
    const { program: quantized, findings } = await quantize(inner, [sample(1, 1), sample(3, 1)]);
    expect(findings).toEqual([expect.objectContaining({ kind: 'fallback', site: 'other' })]);
    expect(ops(quantized).filter((op) => op === 'QuantizeLinear')).toHaveLength(1);
    expect(await relativeDifference(inner, quantized, sample(5, 0))).toBe(0);
  });
});

test('arithmetic of a branch that is never taken stays in floating point', async () => {
  const program = parseProgram(`program opset=13
graph main(x: float32[1, 4, 4, 4], first: bool[]) -> (y) {
 w: float32[4, 4, 1, 1] = random(seed=1)
 a = Conv(x, w)
 y = If(first,
   then_branch=graph t() -> (p) { p = Add(a, a) },
   else_branch=graph e() -> (q) { q = Mul(a, a) })
}`);
  const sample = {
    ...normalSamples('x', [1, 4, 4, 4])[0],
    first: { dtype: 'bool', shape: [], data: Uint8Array.of(1) },
  };
  const { program: quantized, findings } = await quantize(program, [sample as Record<string, NumericArray>], {
    head: 'quantized',
  });
  expect(findings).toEqual([]);
  expect(nodeOf(quantized, 'Mul').outputs[0]!.uses).toEqual([]);
  expect(nodeOf(quantized, 'Add').outputs[0]!.uses[0]!.node.op).toBe('QuantizeLinear');
});

test('products in loops are kept, with the reason', async () => {
  const program = parseProgram(`program opset=13
graph main(x: float32[2, 8]) -> (y) {
 n: int64[] = 2
 c: bool[] = true
 w: float32[8, 8] = random(seed=1, scale=0.3)
 y = Loop(n, c, x, body=graph b(i: int64[], k: bool[], s: float32[2, 8]) -> (k2, s2) {
   k2 = Identity(k)
   s2 = MatMul(s, w) { name: "inside" }
 })
}`);
  const samples = normalSamples('x', [2, 8]);
  const { program: quantized, findings } = await quantize(program, samples);
  expect(findings).toEqual([expect.objectContaining({ kind: 'fallback', site: 'inside' })]);
  expect(findings[0]!.text).toMatch(/inside a loop/);
  expect(await relativeDifference(program, quantized, samples[0]!)).toBe(0);
});

test('sites that are ignored stay as they are', async () => {
  const { program } = await quantize(small, smallSamples, { ignore: ['op:Gemm'] });
  expect(nodeOf(program, 'Gemm').inputs[1]!.tensor).toBeDefined();
});

test('old operator sets are raised, BatchNormalization and added constants become biases', async () => {
  const program = parseProgram(`program opset=9 ir=4
graph main(x: float32[1, 4, 4, 4]) -> (y) {
 w: float32[6, 4, 1, 1] = random(seed=1)
 gamma: float32[6] = [1, 2, 3, 1, 2, 3]
 beta: float32[6] = [0.5, 0, -0.5, 1, 2, 3]
 mean: float32[6] = [0.1, 0.2, 0.3, 0, 0, 0]
 variance: float32[6] = [1, 0.5, 2, 1, 1, 1]
 c = Conv(x, w)
 n = BatchNormalization(c, gamma, beta, mean, variance)
 w2: float32[6, 6, 1, 1] = random(seed=2)
 k: float32[6, 1, 1] = [[[1]], [[2]], [[3]], [[4]], [[5]], [[6]]]
 d = Conv(n, w2)
 y = Add(d, k)
}`);
  const samples = normalSamples('x', [1, 4, 4, 4]);
  const { program: quantized } = await quantize(program, samples);
  expect(quantized.opsets.get('')).toBe(13);
  expect(new Set(ops(quantized))).toEqual(new Set(['QuantizeLinear', 'DequantizeLinear', 'Conv']));
  expect(await relativeDifference(program, quantized, samples[0]!)).toBeLessThan(0.03);
});

test('a half-precision model is widened first and keeps the types of its inputs and outputs', async () => {
  const program = parseProgram(`program opset=13
graph main(x: float16[2, 4]) -> (y) {
 w: float16[4, 8] = random(seed=1)
 y = MatMul(x, w)
}`);
  const half: NumericArray = {
    dtype: 'float16',
    shape: [2, 4],
    data: Uint16Array.from([15360, 14336, 0, 48128, 16384, 1, 15360, 15360]),
  };
  const { program: quantized, findings } = await quantize(program, [{ x: half }]);
  expect(findings[0]).toMatchObject({ kind: 'fact' });
  const [result] = [...(await runProgram(quantized, { x: half })).values()];
  expect(result!.dtype).toBe('float16');
});

test('integers that an earlier stage chose are taken over as they are', async () => {
  const program = graphOf('2, 8', ' w: float32[8, 2] = random(seed=1)\n y = MatMul(x, w)');
  const weight = [...program.graph.initializers][0]!;
  const codes = Uint8Array.of(130, 1, 200, 128, 129, 131, 132, 133, 255, 127, 3, 64, 1, 2, 3, 4);
  weight.tensor = new PackedTensor({
    dtype: 'float32',
    shape: [8, 2],
    layout: 'rows-last',
    rows: 2,
    columns: 8,
    bits: 8,
    storedBits: 8,
    groupSize: 8,
    codes,
    scales: Float32Array.of(0.5, 0.25),
    zeroPoints: null,
    method: 'gptq',
  });
  const { program: quantized } = await quantize(program, normalSamples('x', [2, 8]), { weightType: 'int8' });
  const stored = dequantized(nodeOf(quantized, 'MatMul'), 1);
  expect(stored.scales).toEqual([0.5, 0.25]);
  expect(Array.from(readNumbers(stored.codes!))).toEqual([
    2, 127, -127, -1, 72, -125, 0, -64, 1, -127, 3, -126, 4, -125, 5, -124,
  ]);
});

describe('what cannot be done is said', () => {
  test('no calibration data', async () => {
    await expect(quantizeStatic(modelOf(small), staticOptions(), contextOf(undefined))).rejects.toMatchObject({
      code: 'data',
    });
  });

  test('values that are not finite, with their name', async () => {
    const program = graphOf('2, 4', ' l = Log(x)\n w: float32[4, 8] = random(seed=1)\n y = MatMul(l, w)');
    await expect(quantize(program, normalSamples('x', [2, 4]))).rejects.toMatchObject({
      code: 'numeric',
      where: { tensor: 'l' },
    });
  });

  test('a pattern that nothing answers to', async () => {
    const { findings } = await quantize(small, smallSamples, { ignore: ['w9'] });
    expect(findings).toEqual([expect.objectContaining({ kind: 'warning' })]);
  });
});
