import { describe, expect, test } from 'vitest';
import { readOnnx } from '../../src/artifact/formats/onnx/read.ts';
import type { NumericArray } from '../../src/calibration/dataset.ts';
import { arrayOfNumbers, floatArray, numbersOfArray } from '../../src/execution/arrays.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { type SessionOptions, withSession } from '../../src/execution/session.ts';
import { inputSignature } from '../../src/execution/signature.ts';
import type { DataType } from '../../src/ir/data-type.ts';
import type { Program } from '../../src/ir/graph.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { Random } from '../../src/random.ts';
import { sharedData } from '../shared.ts';

const run = async (program: Program, feeds: Record<string, NumericArray>, options: SessionOptions = {}) =>
  withSession(onnxruntimeEngine, program, options, (session) => session.run(new Map(Object.entries(feeds))));

const twoLayers = `program opset=21
graph main(x: float32[batch, 4]) -> (z) {
  w: float32[4, 2] = [[1, 2], [3, 4], [5, 6], [7, 8]]
  y = MatMul(x, w)
  z = Relu(y)
}`;

describe('sessions of onnxruntime', () => {
  test('compute what the graph says', async () => {
    const results = await run(parseProgram(twoLayers), { x: floatArray([1, 4], Float32Array.of(1, 0, -1, 0.5)) });
    expect(Array.from(numbersOfArray(results.get('z')!))).toEqual([0, 0]);
    const other = await run(parseProgram(twoLayers), {
      x: floatArray([2, 4], Float32Array.of(1, 0, 0, 0, 0, 0, 0, 1)),
    });
    expect(other.get('z')).toMatchObject({ dtype: 'float32', shape: [2, 2], data: Float32Array.of(1, 2, 7, 8) });
  });

  test('give intermediate values and inputs when asked, under their own names, without changing the program', async () => {
    const program = parseProgram(twoLayers);
    const fetch = [program.graph.inputs[0]!, program.graph.nodes[0]!.outputs[0]!];
    const results = await run(program, { x: floatArray([1, 4], Float32Array.of(0, 0, -1, 0)) }, { fetch });
    expect([...results.keys()].sort()).toEqual(['x', 'y', 'z']);
    expect(results.get('y')?.data).toEqual(Float32Array.of(-5, -6));
    expect(program.graph.outputs.map((value) => value.name)).toEqual(['z']);
  });

  test.each<DataType>([
    'float32',
    'float64',
    'float16',
    'int8',
    'uint8',
    'int16',
    'uint16',
    'int32',
    'uint32',
    'int64',
    'uint64',
    'bool',
  ])('take and give %s', async (dtype) => {
    const program = parseProgram(
      `program opset=21\ngraph main(x: ${dtype}[3]) -> (y: ${dtype}[3]) { y = Identity(x) }`,
    );
    const x = arrayOfNumbers(dtype, [3], [1, 0, 1]);
    expect((await run(program, { x })).get('y')).toEqual(x);
  });

  test('say which operator or input is wrong', async () => {
    const unknown = parseProgram(
      'program opset=21 odd=1\ngraph main(x: float32[2]) -> (y: float32[2]) { y = odd::Frobnicate(x) }',
    );
    await expect(run(unknown, {}, { origin: 'odd.onnx' })).rejects.toMatchObject({
      name: 'CompressError',
      code: 'unsupported',
      message: expect.stringMatching(/odd\.onnx.*Frobnicate/),
    });
    const wrongShape = { x: floatArray([1, 3], new Float32Array(3)) };
    await expect(run(parseProgram(twoLayers), wrongShape)).rejects.toMatchObject({ code: 'mismatch' });
    await expect(run(parseProgram(twoLayers), {})).rejects.toMatchObject({ code: 'data' });
  });

  test('stop when the signal fires', async () => {
    const signal = AbortSignal.abort();
    await expect(run(parseProgram(twoLayers), {}, { signal })).rejects.toMatchObject({ code: 'interrupted' });
  });
});

describe.skipIf(!sharedData('vision-squeezenet-imagenet'))('sessions over shared models (needs ../shared/data)', () => {
  test('give the same bits in every run', async () => {
    const program = readOnnx(sharedData('vision-squeezenet-imagenet', 'squeezenet1.1_fp32.onnx')!);
    const [input] = inputSignature(program);
    const feeds = { [input!.name]: floatArray([1, 3, 224, 224], new Random(1, 'pixels').normals(3 * 224 * 224, 50)) };
    const first = await run(program, feeds, { optimization: 'none' });
    const second = await run(program, feeds, { optimization: 'none' });
    expect(first).toEqual(second);
  });
});
