import { describe, expect, test } from 'vitest';
import { findSites } from '../../../../src/analysis/sites.ts';
import { encodeProgram } from '../../../../src/artifact/formats/onnx/write.ts';
import type { NumericArray } from '../../../../src/calibration/dataset.ts';
import type { Program } from '../../../../src/ir/graph.ts';
import { parseProgram } from '../../../../src/ir/text/parse.ts';
import { verify } from '../../../../src/ir/verify.ts';
import { nodesWithin } from '../../../../src/ir/walk.ts';
import type { RunEvent } from '../../../../src/recipe/events.ts';
import { quantizeDynamic } from '../../../../src/stages/quantize/activations/dynamic.ts';
import { predictedRatio } from '../../../../src/stages/quantize/activations/integer/predict.ts';
import type { DynamicOptions } from '../../../../src/stages/quantize/activations/options.ts';
import { intArray, normalArray, runProgram } from '../../../artifact/lower/run.ts';
import { contextOf, datasetOf, dynamicOptions, modelOf, normalSamples, relativeDifference } from './workbench.ts';

const quantize = async (
  program: Program,
  changes: Partial<DynamicOptions> = {},
  samples?: readonly Readonly<Record<string, NumericArray>>[],
  events: RunEvent[] = [],
) => {
  const context = contextOf(samples && datasetOf(samples), events);
  const result = await quantizeDynamic(modelOf(program), dynamicOptions(changes), context);
  expect(verify(result.model.program).map((problem) => problem.message)).toEqual([]);
  return { program: result.model.program, findings: result.findings };
};

const ops = (program: Program): string[] => [...nodesWithin(program.graph)].map((node) => node.op);

const graphOf = (input: string, body: string, opset = 13): Program =>
  parseProgram(`program opset=${opset}
graph main(x: float32[${input}]) -> (y) {
${body}
}`);

/** One graph for every operator that takes an integer form, with the operators it becomes. */
const forms = [
  {
    name: 'MatMul',
    input: '2, 3, 16',
    body: ' w: float32[16, 8] = random(seed=1)\n y = MatMul(x, w)',
    becomes: 'MatMulInteger',
  },
  {
    name: 'Gemm with factors and a bias',
    input: '3, 16',
    body: ` w: float32[16, 8] = random(seed=1)
 b: float32[8] = random(seed=2)
 y = Gemm(x, w, b, alpha=0.5, beta=2.0)`,
    becomes: 'MatMulInteger',
  },
  {
    name: 'Gemm with a transposed weight',
    input: '3, 16',
    body: ` w: float32[8, 16] = random(seed=1)
 b: float32[8] = random(seed=2)
 y = Gemm(x, w, b, transB=1)`,
    becomes: 'MatMulInteger',
  },
  {
    name: 'MatMul through a Transpose',
    input: '3, 16',
    body: ` e: float32[8, 16] = random(seed=1)
 i: int64[2] = [1, 3]
 rows = Gather(e, i)
 t = Transpose(e, perm=[1, 0])
 p = MatMul(x, t)
 s = ReduceSum(rows, keepdims=0)
 y = Add(p, s)`,
    becomes: 'MatMulInteger',
  },
  {
    name: 'Conv with strides, pads, groups and a bias',
    input: '1, 4, 9, 9',
    body: ` w: float32[6, 2, 3, 3] = random(seed=1)
 b: float32[6] = random(seed=2)
 y = Conv(x, w, b, pads=[1, 1, 1, 1], strides=[2, 2], group=2)`,
    becomes: 'ConvInteger',
  },
  {
    name: 'Conv over one dimension',
    input: '1, 4, 20',
    body: ' w: float32[6, 4, 3] = random(seed=1)\n y = Conv(x, w)',
    becomes: 'ConvInteger',
  },
  {
    name: 'Conv with a computed bias',
    input: '1, 4, 5, 5',
    body: ` w: float32[6, 4, 3, 3] = random(seed=1)
 axes: int64[3] = [0, 2, 3]
 m = ReduceMean(x, axes=[0, 1, 2, 3], keepdims=0)
 one: float32[6] = [1, 2, 3, 4, 5, 6]
 b = Mul(one, m)
 y = Conv(x, w, b)`,
    becomes: 'ConvInteger',
  },
  {
    name: 'LSTM',
    input: '5, 1, 8',
    body: ` w: float32[1, 24, 8] = random(seed=1, scale=0.3)
 r: float32[1, 24, 6] = random(seed=2, scale=0.3)
 b: float32[1, 48] = random(seed=3, scale=0.1)
 y = LSTM(x, w, r, b, hidden_size=6)`,
    becomes: 'DynamicQuantizeLSTM',
  },
  {
    name: 'LSTM in both directions',
    input: '5, 1, 8',
    body: ` w: float32[2, 24, 8] = random(seed=1, scale=0.3)
 r: float32[2, 24, 6] = random(seed=2, scale=0.3)
 y = LSTM(x, w, r, hidden_size=6, direction="bidirectional")`,
    becomes: 'DynamicQuantizeLSTM',
  },
  {
    name: 'GRU',
    input: '5, 1, 8',
    body: ` w: float32[2, 18, 8] = random(seed=1, scale=0.3)
 r: float32[2, 18, 6] = random(seed=2, scale=0.3)
 y = GRU(x, w, r, hidden_size=6, direction="bidirectional")`,
    becomes: 'DequantizeLinear',
  },
  {
    name: 'ConvTranspose',
    input: '1, 4, 5, 5',
    body: ' w: float32[4, 6, 3, 3] = random(seed=1)\n y = ConvTranspose(x, w, strides=[2, 2])',
    becomes: 'DequantizeLinear',
  },
] as const;

describe.each(forms)('$name', ({ input, body, becomes }) => {
  const program = graphOf(input, body);
  const feeds = { x: normalArray(input.split(', ').map(Number), 5) };

  test.each([
    { weightType: 'uint8', granularity: 'channel' },
    { weightType: 'int8', granularity: 'channel', weightBits: 7 },
    { weightType: 'uint8', granularity: 'tensor' },
    { weightType: 'int8', granularity: 'tensor', weightBits: 7 },
  ] as const)(`becomes ${becomes} with %j and computes nearly the same`, async (changes) => {
    const { program: quantized, findings } = await quantize(program, { ...changes, leastSnrDb: 0 });
    expect(findings).toEqual([]);
    expect(ops(quantized)).toContain(becomes);
    expect(findSites(quantized)).toEqual([]);
    expect(await relativeDifference(program, quantized, feeds)).toBeLessThan(0.06);
  });
});

test('an embedding is looked up in integers, row by row', async () => {
  const program = parseProgram(`program opset=13
graph main(ids: int64[1, 4]) -> (y) {
 e: float32[10, 8] = random(seed=1)
 y = Gather(e, ids)
}`);
  const { program: quantized } = await quantize(program);
  const table = [...quantized.graph.initializers].find((value) => value.tensor!.shape.join() === '10,8');
  expect(table!.tensor!.dtype).toBe('uint8');
  expect(await relativeDifference(program, quantized, { ids: intArray([1, 4], [0, 9, 3, 3]) })).toBeLessThan(0.01);
});

test('a head tied to its embedding shares the integers', async () => {
  const program = parseProgram(`program opset=13
graph main(ids: int64[1, 4]) -> (y) {
 e: float32[40, 16] = random(seed=1)
 h = Gather(e, ids)
 t = Transpose(e, perm=[1, 0])
 y = MatMul(h, t)
}`);
  const { program: quantized } = await quantize(program);
  const tables = [...quantized.graph.initializers].filter((value) => value.tensor!.byteLength >= 640);
  expect(tables).toHaveLength(1);
  expect(await relativeDifference(program, quantized, { ids: intArray([1, 4], [0, 9, 3, 33]) })).toBeLessThan(0.03);
});

test('products that read the same value round it once', async () => {
  const program = graphOf(
    '3, 16',
    ` q: float32[16, 16] = random(seed=1)
 k: float32[16, 16] = random(seed=2)
 a = MatMul(x, q)
 b = MatMul(x, k)
 y = Add(a, b)`,
  );
  const { program: byToken } = await quantize(program);
  expect(ops(byToken).filter((op) => op === 'QuantizeLinear')).toHaveLength(1);
  const { program: whole } = await quantize(program, { perToken: false });
  expect(ops(whole).filter((op) => op === 'DynamicQuantizeLinear')).toHaveLength(1);
});

describe.each([13, 18])('a scale for each token, in operator set %i,', (opset) => {
  const program = graphOf(
    '2, 3, 16',
    ` w: float32[16, 8] = random(seed=1)
 y = MatMul(x, w)`,
    opset,
  );
  const rows = normalArray([2, 3, 16], 5).data as Float32Array;
  const loud = rows.map((value, index) => (index < 16 ? 1000 * value : value));
  const outputOf = async (quantized: Program, data: Float32Array): Promise<Float32Array> => {
    const outputs = await runProgram(quantized, { x: { dtype: 'float32', shape: [2, 3, 16], data } });
    return outputs.get('y')!.data as Float32Array;
  };

  test('leaves what a token gives alone, whatever the others hold', async () => {
    const { program: quantized } = await quantize(program);
    const [quiet, changed] = [await outputOf(quantized, rows), await outputOf(quantized, loud)];
    expect(changed.subarray(8)).toEqual(quiet.subarray(8));
    const { program: whole } = await quantize(program, { perToken: false });
    expect((await outputOf(whole, loud)).subarray(8)).not.toEqual((await outputOf(whole, rows)).subarray(8));
  });

  test('gives zeros for a token of zeros', async () => {
    const { program: quantized } = await quantize(program);
    const outputs = await outputOf(
      quantized,
      rows.map((value, index) => (index < 16 ? 0 : value)),
    );
    expect([...outputs.subarray(0, 8)]).toEqual(Array(8).fill(0));
  });
});

const branching = parseProgram(`program opset=13
graph main(x: float32[1, 16], first: bool[]) -> (y) {
 y = If(first,
   then_branch=graph t() -> (p) {
     w1: float32[16, 8] = random(seed=1)
     p = MatMul(x, w1) { name: "then/product" }
   },
   else_branch=graph e() -> (q) {
     w2 = Constant(value=tensor(float32[16, 8], random(seed=2)))
     q = MatMul(x, w2) { name: "else/product" }
   })
}`);
const branch = (seed: number, first: number): Record<string, NumericArray> => ({
  x: normalArray([1, 16], seed),
  first: { dtype: 'bool', shape: [], data: Uint8Array.of(first) },
});

describe('branches of If', () => {
  test('are quantized, constants inside nodes too', async () => {
    const { program } = await quantize(branching);
    expect(findSites(program)).toEqual([]);
    for (const first of [0, 1])
      expect(await relativeDifference(branching, program, branch(3, first))).toBeLessThan(0.03);
  });

  test('share equal weights', async () => {
    const same = parseProgram(`program opset=13
graph main(x: float32[1, 64], first: bool[]) -> (y) {
 y = If(first,
   then_branch=graph t() -> (p) {
     w1: float32[64, 64] = random(seed=1)
     p = MatMul(x, w1)
   },
   else_branch=graph e() -> (q) {
     w2: float32[64, 64] = random(seed=1)
     n = Neg(x)
     q = MatMul(n, w2)
   })
}`);
    const { program } = await quantize(same);
    expect(encodeProgram(program).byteLength).toBeLessThan(2 * 64 * 64);
  });
});

describe('a site that would lose too much', () => {
  /** Input channels a hundredfold apart, weights the other way round. */
  const wide = graphOf(
    '4, 16',
    ` spread: float32[16] = [100, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
 shrink: float32[16, 1] = [[0.01], [1], [1], [1], [1], [1], [1], [1], [1], [1], [1], [1], [1], [1], [1], [1]]
 base: float32[16, 16] = random(seed=1)
 even: float32[16, 16] = random(seed=2)
 a = MatMul(x, even) { name: "even" }
 s = Mul(a, spread)
 w = Mul(base, shrink)
 y = MatMul(s, w) { name: "uneven" }`,
  );

  test('is kept and reported when calibration data show it', async () => {
    const { program, findings } = await quantize(wide, { smooth: 'none' }, normalSamples('x', [4, 16]));
    expect(findings).toEqual([expect.objectContaining({ kind: 'fallback', site: 'uneven' })]);
    expect(findings[0]!.text).toMatch(/signal-to-noise ratio of -?\d+\.\d dB/);
    expect(findSites(program).map((site) => site.name)).toEqual(['uneven']);
  });

  test('is quantized when the limit allows it', async () => {
    const options = { leastSnrDb: 0, smooth: 'none' } as const;
    const { findings } = await quantize(wide, options, normalSamples('x', [4, 16]));
    expect(findings).toEqual([]);
  });

  test('loses little once smoothing has levelled the channels of its input', async () => {
    const { program, findings } = await quantize(wide, {}, normalSamples('x', [4, 16]));
    expect(findings.map(({ kind }) => kind)).toEqual(['fact']);
    expect(findSites(program)).toEqual([]);
  });

  test('is kept without data when its weights are a thousandfold apart', async () => {
    const uneven = graphOf(
      '4, 4, 6, 6',
      ` base: float32[16, 4, 3, 3] = random(seed=1)
 shrink: float32[1, 4, 1, 1] = [[[[0.001]], [[1]], [[1]], [[1]]]]
 w = Mul(base, shrink)
 y = Conv(x, w) { name: "uneven" }`,
    );
    const { findings } = await quantize(uneven);
    expect(findings).toEqual([expect.objectContaining({ kind: 'fallback', site: 'uneven' })]);
  });

  test('is no loss where its weight is too small to become smaller', async () => {
    const tiny = graphOf(
      '4, 4, 6, 6',
      ` base: float32[4, 4, 3, 3] = random(seed=1)
 shrink: float32[1, 4, 1, 1] = [[[[0.001]], [[1]], [[1]], [[1]]]]
 w = Mul(base, shrink)
 y = Conv(x, w) { name: "uneven" }`,
    );
    expect((await quantize(tiny)).findings).toEqual([expect.objectContaining({ kind: 'fact', site: 'uneven' })]);
  });

  test('is found inside a branch by the runs that take it', async () => {
    const { findings } = await quantize(branching, { leastSnrDb: 60 }, [branch(1, 1), branch(2, 0)]);
    expect(findings.map((finding) => finding.site)).toEqual(['then/product', 'else/product']);
    expect(findings[1]!.text).toMatch(/dB/);
  });
});

describe('the ratio that a weight alone predicts', () => {
  const ratioOf = (weights: string): number =>
    predictedRatio(findSites(graphOf('1, 4, 4, 4', ` w: float32[4, 4, 1, 1] = ${weights}\n y = Conv(x, w)`))[0]!);

  test('is that of rounding to 255 steps where all channels are alike', () => {
    expect(ratioOf('ones')).toBeCloseTo(10 * Math.log10((12 * 255 ** 2) / 36), 6);
  });

  test('falls by about forty decibels where one of the channels is a hundredfold', () => {
    const rows = Array(4).fill('[[[100]], [[1]], [[1]], [[1]]]').join(', ');
    expect(ratioOf('ones') - ratioOf(`[${rows}]`)).toBeCloseTo(10 * Math.log10((100 ** 2 + 3) / 4), 6);
  });

  test('counts the channels of each group of a convolution', () => {
    const depthwise = findSites(
      graphOf('1, 4, 8, 8', ' w: float32[4, 1, 3, 3] = random(seed=1)\n y = Conv(x, w, group=4)'),
    )[0]!;
    expect(Number.isFinite(predictedRatio(depthwise))).toBe(true);
  });
});

test('products that follow one another directly are all rewritten', async () => {
  const program = graphOf(
    '3, 16',
    ` w: float32[16, 16] = random(seed=1)
 a = MatMul(x, w)
 b = MatMul(a, w)
 y = MatMul(b, w)`,
  );
  const { program: quantized } = await quantize(program);
  expect(ops(quantized).filter((op) => op === 'MatMulInteger')).toHaveLength(3);
  expect(await relativeDifference(program, quantized, { x: normalArray([3, 16], 2) })).toBeLessThan(0.04);
});

test('the same bytes come out every time, and the source stays as it was', async () => {
  const program = graphOf('3, 16', ' w: float32[16, 8] = random(seed=1)\n y = MatMul(x, w)');
  const before = encodeProgram(program);
  const [first, second] = [await quantize(program), await quantize(program)];
  expect(Buffer.compare(encodeProgram(first.program), encodeProgram(second.program))).toBe(0);
  expect(Buffer.compare(before, encodeProgram(program))).toBe(0);
});

test('every site is told of when it is finished, ignored ones stay', async () => {
  const program = graphOf(
    '3, 16',
    ` w: float32[16, 16] = random(seed=1)
 a = MatMul(x, w) { name: "first" }
 y = MatMul(a, w) { name: "second" }`,
  );
  const events: RunEvent[] = [];
  const { program: quantized } = await quantize(program, { ignore: ['second'] }, undefined, events);
  expect(events.filter((event) => event.type === 'site-finished').map((event) => event.site)).toEqual(['first']);
  expect(findSites(quantized).map((site) => site.name)).toEqual(['second']);
});

test('weights that are not finite are refused with their name', async () => {
  const program = graphOf('3, 16', ' w: float32[16, 8] = random(seed=1)\n y = MatMul(x, w)');
  const weight = [...program.graph.initializers][0]!;
  const bytes = weight.tensor!.bytes();
  new Float32Array(bytes.buffer, bytes.byteOffset, 1)[0] = Number.NaN;
  await expect(quantize(program)).rejects.toMatchObject({ code: 'numeric', where: { tensor: 'w' } });
});

test('outputs keep their names', async () => {
  const program = graphOf('3, 16', ' w: float32[16, 8] = random(seed=1)\n y = MatMul(x, w)');
  const { program: quantized } = await quantize(program);
  expect([...(await runProgram(quantized, { x: normalArray([3, 16], 1) })).keys()]).toEqual(['y']);
});
