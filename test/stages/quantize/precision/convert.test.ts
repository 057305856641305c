import { describe, expect, test } from 'vitest';
import { encodeProgram } from '../../../../src/artifact/formats/onnx/write.ts';
import type { NumericArray } from '../../../../src/calibration/dataset.ts';
import type { Node, Program } from '../../../../src/ir/graph.ts';
import { PackedTensor } from '../../../../src/ir/packed-tensor.ts';
import { floatTensor, readFloats, sameTensor } from '../../../../src/ir/read.ts';
import { parseProgram } from '../../../../src/ir/text/parse.ts';
import { verify } from '../../../../src/ir/verify.ts';
import { constantOf, nodesWithin } from '../../../../src/ir/walk.ts';
import { convertPrecision } from '../../../../src/stages/quantize/precision/convert.ts';
import { normalisePrecision, type PrecisionInput } from '../../../../src/stages/quantize/precision/options.ts';
import { intArray, largestDifference, normalArray, runProgram } from '../../../artifact/lower/run.ts';
import { modelOf, scaleOf } from '../activations/workbench.ts';

const convert = (program: Program, input: PrecisionInput) => {
  const { model, findings } = convertPrecision(modelOf(program), normalisePrecision(input));
  expect(verify(model.program).map((problem) => problem.message)).toEqual([]);
  return { program: model.program, findings };
};

const nodes = (program: Program): Node[] => [...nodesWithin(program.graph)];
const ops = (program: Program): string[] => nodes(program).map((node) => node.op);
const constant = (program: Program, name: string) =>
  [...program.graph.initializers].find((value) => value.name === name)?.tensor;

const differenceOf = async (before: Program, after: Program, feeds: Record<string, NumericArray>): Promise<number> => {
  const expected = await runProgram(before, feeds);
  return largestDifference(expected, await runProgram(after, feeds)) / scaleOf(expected);
};

const floatsTimes = (array: NumericArray, factor: number): NumericArray => ({
  ...array,
  data: (array.data as Float32Array).map((value) => value * factor),
});

const network = parseProgram(`program opset=13
graph main(x: float32[1, 3, 8, 8]) -> (y) {
 w: float32[6, 3, 3, 3] = random(seed=1, scale=0.3)
 b: float32[6] = random(seed=2)
 c = Conv(x, w, b)
 r = Relu(c)
 g = GlobalAveragePool(r)
 f = Flatten(g)
 w2: float32[6, 4] = random(seed=3)
 p = MatMul(f, w2)
 y = Softmax(p)
}`);
const picture = { x: normalArray([1, 3, 8, 8], 1) };

describe('float16', () => {
  test('halves the constants, computes nearly the same and keeps the types of inputs and outputs', async () => {
    const { program } = convert(network, { precision: 'float16' });
    expect([...program.graph.initializers].map((value) => value.tensor!.dtype)).toEqual([
      'float16',
      'float16',
      'float16',
    ]);
    expect(ops(program).filter((op) => op === 'Cast')).toHaveLength(2);
    expect(await differenceOf(network, program, picture)).toBeLessThan(2e-3);
  });

  test('keeps the names of constants, inputs and outputs', () => {
    const { program } = convert(network, { precision: 'float16' });
    expect([...program.graph.initializers].map((value) => value.name)).toEqual(['w', 'b', 'w2']);
    expect(program.graph.inputs.map((value) => value.name)).toEqual(['x']);
    expect(program.graph.outputs.map((value) => value.name)).toEqual(['y']);
  });

  test('converts inputs and outputs when asked to, and then needs no Cast', () => {
    const { program } = convert(network, { precision: 'float16', io: 'convert' });
    expect(ops(program)).not.toContain('Cast');
    expect(program.graph.inputs[0]!.type).toMatchObject({ dtype: 'float16' });
    expect(program.graph.outputs[0]!.type).toMatchObject({ dtype: 'float16' });
  });

  test('rounds constants to the nearest number, ties to even', () => {
    const program = parseProgram(`program opset=13
graph main(x: float32[4]) -> (y) {
 k: float32[4] = [1.00048828125, 1.00146484375, 0.33333334, -70]
 y = Add(x, k)
}`);
    const { program: half } = convert(program, { precision: 'float16' });
    expect([...readFloats(constant(half, 'k')!)]).toEqual([1, 1.001953125, 0.333251953125, -70]);
  });

  test('and back gives the numbers that float16 holds', () => {
    const { program: half } = convert(network, { precision: 'float16', io: 'convert' });
    const { program: wide } = convert(half, { precision: 'float32', io: 'convert' });
    const { program: again } = convert(wide, { precision: 'float16', io: 'convert' });
    for (const name of ['w', 'b', 'w2']) expect(sameTensor(constant(half, name)!, constant(again, name)!)).toBe(true);
    expect(ops(wide)).toEqual(ops(network));
  });

  test('has the same bytes every time and leaves the source as it was', () => {
    const before = encodeProgram(network);
    const [first, second] = [convert(network, { precision: 'float16' }), convert(network, { precision: 'float16' })];
    expect(Buffer.compare(encodeProgram(first.program), encodeProgram(second.program))).toBe(0);
    expect(Buffer.compare(before, encodeProgram(network))).toBe(0);
  });

  test('changes the type that packed weights stand for, not their integers', () => {
    const program = parseProgram(`program opset=13
graph main(x: float32[2, 16]) -> (y) {
 w: float32[16, 8] = random(seed=1)
 y = MatMul(x, w)
}`);
    const facts = {
      dtype: 'float32',
      shape: [16, 8],
      layout: 'rows-last',
      rows: 8,
      columns: 16,
      bits: 4,
      storedBits: 4,
      groupSize: 16,
      codes: new Uint8Array(64).fill(0x9a),
      scales: new Float32Array(8).fill(0.5),
      zeroPoints: null,
      method: 'rtn',
    } as const;
    [...program.graph.initializers][0]!.tensor = new PackedTensor(facts);
    const { program: half } = convert(program, { precision: 'float16' });
    const packed = constant(half, 'w');
    expect(packed).toBeInstanceOf(PackedTensor);
    expect((packed as PackedTensor).facts).toEqual({ ...facts, dtype: 'float16' });
  });
});

describe('what stays in float32', () => {
  const rms = parseProgram(`program opset=13
graph main(x: float32[2, 8]) -> (y) {
 eps: float32[] = 1e-12
 w: float32[8, 8] = random(seed=1)
 h = MatMul(x, w)
 s = Mul(h, h)
 m = ReduceMean(s, axes=[-1])
 e = Add(m, eps)
 r = Sqrt(e)
 n = Div(h, r)
 y = MatMul(n, w)
}`);

  test('is a root mean square from the square to the root, so that large activations do not overflow', async () => {
    const { program } = convert(rms, { precision: 'float16' });
    const typeOf = (name: string) => {
      const type = nodes(program)
        .flatMap((node) => node.outputs)
        .find((value) => value?.name === name)?.type;
      return type?.kind === 'tensor' ? type.dtype : undefined;
    };
    expect(['s', 'm', 'e', 'r'].map(typeOf)).toEqual(['float32', 'float32', 'float32', 'float32']);
    expect(['h', 'n'].map(typeOf)).toEqual(['float16', 'float16']);
    const large = {
      x: floatsTimes(normalArray([2, 8], 3), 1000),
    };
    expect(await differenceOf(rms, program, large)).toBeLessThan(0.01);
  });

  test('is what a pattern names', () => {
    const { program } = convert(network, { precision: 'float16', keep: ['op:Softmax', 'c'] });
    const kept = nodes(program).filter((node) => ['Softmax', 'Conv'].includes(node.op));
    for (const node of kept) expect(node.outputs[0]!.type).toMatchObject({ dtype: 'float32' });
    expect(constant(program, 'w')!.dtype).toBe('float32');
  });

  test('is a node whose epsilon would vanish, which is told', () => {
    const program = parseProgram(`program opset=13
graph main(x: float32[4]) -> (y) {
 eps: float32[] = 1e-12
 a = Relu(x)
 b = Add(a, eps)
 y = Div(x, b)
}`);
    const { program: half, findings } = convert(program, { precision: 'float16' });
    expect(constant(half, 'eps')!.dtype).toBe('float32');
    expect(findings.map((finding) => finding.text).join()).toMatch(/eps would vanish/);
  });

  test('is a product whose weight is out of range, which is told', () => {
    const program = parseProgram(`program opset=13
graph main(x: float32[2, 8]) -> (y) {
 w: float32[8, 8] = random(seed=1, scale=100000)
 y = MatMul(x, w)
}`);
    const { program: half, findings } = convert(program, { precision: 'float16' });
    expect(constant(half, 'w')!.dtype).toBe('float32');
    expect(findings.some((finding) => finding.kind === 'warning' && finding.site !== undefined)).toBe(true);
  });

  test('are angles and what only feeds them', () => {
    const program = parseProgram(`program opset=13
graph main(p: int64[1, 4], x: float32[1, 4]) -> (y) {
 f = Cast(p, to=1)
 k: float32[1] = [0.01]
 t = Mul(f, k)
 c = Cos(t)
 y = Mul(x, c)
}`);
    const { program: half } = convert(program, { precision: 'float16' });
    const typed = nodes(half).flatMap((node) =>
      node.outputs.filter((value) => value && ['f', 't'].includes(value.name)),
    );
    expect(typed.map((value) => value!.type)).toEqual([
      expect.objectContaining({ dtype: 'float32' }),
      expect.objectContaining({ dtype: 'float32' }),
    ]);
  });

  test('are the scales of a Resize', async () => {
    const program = parseProgram(`program opset=13
graph main(x: float32[1, 1, 4, 4]) -> (y) {
 s: float32[4] = [1, 1, 2, 2]
 r = Resize(x, _, s, mode="nearest")
 y = Relu(r)
}`);
    const { program: half } = convert(program, { precision: 'float16' });
    expect(constant(half, 's')!.dtype).toBe('float32');
    expect(await differenceOf(program, half, { x: normalArray([1, 1, 4, 4], 1) })).toBeLessThan(2e-3);
  });
});

test('mask values beyond the range are clamped to its end, which is told; infinities stay', () => {
  const program = parseProgram(`program opset=13
graph main(x: float32[3]) -> (y) {
 k: float32[3] = [-3.4e38, 0, 1]
 y = Add(x, k)
}`);
  const mask = [...program.graph.initializers][0]!;
  mask.tensor = floatTensor([3], Float32Array.of(-3.4e38, Number.NEGATIVE_INFINITY, 1));
  const { program: half, findings } = convert(program, { precision: 'float16' });
  expect([...readFloats(constant(half, 'k')!)]).toEqual([-65504, Number.NEGATIVE_INFINITY, 1]);
  expect(findings.some((finding) => finding.kind === 'warning' && /clamped/.test(finding.text))).toBe(true);
});

test('branches of If are converted inside, loops keep float32 at their border', async () => {
  const program = parseProgram(`program opset=13
graph main(x: float32[2, 8], first: bool[]) -> (y) {
 w: float32[8, 8] = random(seed=1, scale=0.3)
 a = MatMul(x, w)
 b = If(first,
   then_branch=graph t() -> (p) { p = Relu(a) },
   else_branch=graph e() -> (q) { q = MatMul(a, w) })
 n: int64[] = 2
 c: bool[] = true
 y = Loop(n, c, b, body=graph l(i: int64[], k: bool[], s: float32[2, 8]) -> (k2, s2) {
   k2 = Identity(k)
   s2 = MatMul(s, w)
 })
}`);
  const { program: half } = convert(program, { precision: 'float16' });
  expect(nodes(half).find((node) => node.op === 'If')!.outputs[0]!.type).toMatchObject({ dtype: 'float16' });
  for (const first of [0, 1]) {
    const feeds = {
      x: normalArray([2, 8], 2),
      first: { dtype: 'bool', shape: [], data: Uint8Array.of(first) } as NumericArray,
    };
    expect(await differenceOf(program, half, feeds)).toBeLessThan(5e-3);
  }
});

test('Casts of the model itself go to the new type, and vanish where they became idle', async () => {
  const program = parseProgram(`program opset=13
graph main(x: float32[4], n: int64[4]) -> (y) {
 f = Cast(n, to=1)
 a = Relu(x)
 c = Cast(a, to=1)
 y = Add(c, f)
}`);
  const { program: half } = convert(program, { precision: 'float16', io: 'convert' });
  expect(
    nodes(half)
      .filter((node) => node.op === 'Cast')
      .map((node) => node.int('to')),
  ).toEqual([10]);
});

describe('bfloat16', () => {
  test('is for storage: weights are narrow, arithmetic is float32 and runs', async () => {
    const program = parseProgram(`program opset=9 ir=4
graph main(x: float32[4, 16]) -> (y) {
 w: float32[16, 16] = random(seed=1)
 b: float32[16] = random(seed=2)
 y = Gemm(x, w, b)
}`);
    const { program: stored, findings } = convert(program, { precision: 'bfloat16' });
    expect(constant(stored, 'w')!.dtype).toBe('bfloat16');
    expect(constant(stored, 'b')!.dtype).toBe('float32');
    expect(findings).toEqual([expect.objectContaining({ kind: 'fact' })]);
    expect(await differenceOf(program, stored, { x: normalArray([4, 16], 1) })).toBeLessThan(0.01);
  });

  test('as a type to compute in is possible, with a warning', () => {
    const { program, findings } = convert(network, { precision: 'bfloat16', scope: 'all' });
    expect(constant(program, 'w')!.dtype).toBe('bfloat16');
    expect(findings.some((finding) => finding.kind === 'warning')).toBe(true);
  });

  test('stores constants of branches too', async () => {
    const program = parseProgram(`program opset=13
graph main(x: float32[1, 16], first: bool[]) -> (y) {
 y = If(first,
   then_branch=graph t() -> (p) {
     w = Constant(value=tensor(float32[16, 8], random(seed=2)))
     p = MatMul(x, w)
   },
   else_branch=graph e() -> (q) {
     v: float32[16, 8] = random(seed=3)
     q = MatMul(x, v)
   })
}`);
    const { program: stored } = convert(program, { precision: 'bfloat16' });
    const types = nodes(stored)
      .filter((node) => node.op === 'Cast')
      .map((node) => constantOf(node.inputs[0])!.dtype);
    expect(types).toEqual(['bfloat16', 'bfloat16']);
    const feeds = {
      x: normalArray([1, 16], 2),
      first: { dtype: 'bool', shape: [], data: Uint8Array.of(1) } as NumericArray,
    };
    expect(await differenceOf(program, stored, feeds)).toBeLessThan(0.02);
  });
});

describe('whole numbers made of fractions', () => {
  test('are made in float32, with all that only feeds them', () => {
    const program = parseProgram(`program opset=17
graph main(x: float32[1, 64]) -> (y) {
  half: float32[1] = [0.5]
  table: float32[65, 4] = random(seed=3)
  scaled = Mul(x, half)
  bucket = Cast(scaled, to=7)
  y = Gather(table, bucket)
}`);
    const { program: half } = convert(program, { precision: 'float16' });
    const cast = nodes(half).find((node) => node.op === 'Cast' && node.int('to') === 7)!;
    expect(cast.inputs[0]!.type).toMatchObject({ dtype: 'float32' });
    expect(cast.inputs[0]!.producer!.inputs[0]!.name).toBe('x');
    expect(nodes(half).find((node) => node.op === 'Gather')!.inputs[0]!.type).toMatchObject({ dtype: 'float16' });
  });
});

describe('float32', () => {
  test('widens a half-precision graph exactly and keeps its interface', async () => {
    const program = parseProgram(`program opset=13
graph main(x: float16[2, 4]) -> (y) {
 w: float16[4, 8] = random(seed=1)
 h = MatMul(x, w)
 y = Relu(h)
}`);
    const { program: wide } = convert(program, { precision: 'float32' });
    expect(constant(wide, 'w')!.dtype).toBe('float32');
    expect([...readFloats(constant(wide, 'w')!)]).toEqual([...readFloats(constant(program, 'w')!)]);
    expect(ops(wide).filter((op) => op === 'Cast')).toHaveLength(2);
    const half: NumericArray = {
      dtype: 'float16',
      shape: [2, 4],
      data: Uint16Array.from([15360, 14336, 0, 48128, 16384, 1, 15360, 15360]),
    };
    expect([...(await runProgram(wide, { x: half })).values()][0]!.dtype).toBe('float16');
  });

  test('leaves a float32 graph as it is', () => {
    const { program } = convert(network, { precision: 'float32' });
    expect(ops(program)).toEqual(ops(network));
  });
});

test('a pattern that nothing answers to is told', () => {
  const { findings } = convert(network, { precision: 'float16', keep: ['op:Softmx'] });
  expect(findings.some((finding) => finding.kind === 'warning' && finding.text.includes('Softmax'))).toBe(true);
});

test('integers are not touched', async () => {
  const program = parseProgram(`program opset=13
graph main(ids: int64[1, 3]) -> (y) {
 e: float32[10, 4] = random(seed=1)
 y = Gather(e, ids)
}`);
  const { program: half } = convert(program, { precision: 'float16' });
  expect(half.graph.inputs[0]!.type).toMatchObject({ dtype: 'int64' });
  expect(await differenceOf(program, half, { ids: intArray([1, 3], [1, 2, 9]) })).toBeLessThan(1e-3);
});
