import { describe, expect, test } from 'vitest';
import { lowerToMatMulNBits } from '../../../src/artifact/formats/onnx/lower/matmulnbits.ts';
import { lowerToQdq } from '../../../src/artifact/formats/onnx/lower/qdq.ts';
import { lowerForTarget } from '../../../src/artifact/formats/onnx/target/lower.ts';
import { parseTarget } from '../../../src/artifact/formats/onnx/target/target.ts';
import { encodeProgram } from '../../../src/artifact/formats/onnx/write.ts';
import { type CompressError, CompressErrors } from '../../../src/errors.ts';
import { onnxruntimeEngine } from '../../../src/execution/onnxruntime.ts';
import { withSession } from '../../../src/execution/session.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';

const product = (bits: number): Program =>
  parseProgram(`program opset=21
graph m(x: float32[2, 64]) -> (y: float32[2, 64]) {
  w: float32[64, 64] = packed(bits=${bits}, group_size=32, layout="rows-last", seed=1)
  y = MatMul(x, w)
}`);

const lookup = (bits: number): Program =>
  parseProgram(`program opset=21
graph m(i: int64[2]) -> (y: float32[2, 64]) {
  w: float32[40, 64] = packed(bits=${bits}, group_size=32, layout="rows-first", seed=1)
  y = Gather(w, i)
}`);

const operators = (program: Program): string[] => program.graph.nodes.map(({ op }) => op);

const lowered = (program: Program, target: string): { program: Program; facts: string[] } => {
  const copy = cloneProgram(program);
  const report = lowerForTarget(copy, parseTarget(target), (made, forTarget) =>
    lowerToMatMulNBits(made, { accuracyLevel: 0, target: forTarget }),
  );
  return { program: copy, facts: report.findings.map(({ text }) => text) };
};

describe('forms by what the runtime has', () => {
  test.each([
    [4, 'ort-web@1.20', ['MatMulNBits']],
    [8, 'ort-web@1.22', ['DequantizeLinear', 'MatMul']],
    [8, 'ort-web@1.24', ['MatMulNBits']],
    [8, 'ort-web', ['MatMulNBits']],
    [2, 'transformersjs@3.7', ['MatMulNBits']],
    [2, 'ort-node@1.24.3', ['MatMulNBits']],
  ] as const)('a product of %i bits for %s is %j', (bits, target, wanted) => {
    expect(operators(lowered(product(bits), target).program)).toEqual(wanted);
  });

  test.each([
    [4, 'ort-web@1.22', ['DequantizeLinear', 'Gather']],
    [4, 'ort-web@1.24', ['GatherBlockQuantized']],
    [2, 'ort-web@1.24', ['DequantizeLinear', 'Gather']],
    [2, 'ort-web@1.30', ['GatherBlockQuantized']],
  ] as const)('a lookup of %i bits for %s is %j', (bits, target, wanted) => {
    expect(operators(lowered(lookup(bits), target).program)).toEqual(wanted);
  });

  test('2-bit weights in 4 bits compute the same', async () => {
    const { program, facts } = lowered(product(2), 'ort-web@1.22');
    expect(program.graph.nodes[0]!.int('bits', 0)).toBe(4);
    expect(facts).toEqual(['for ort-web@1.22, 1 weights of 2 bits are stored in 4']);
    const x = Float32Array.from({ length: 128 }, (_, index) => Math.sin(index));
    const run = (one: Program): Promise<Float32Array> =>
      withSession(onnxruntimeEngine, one, { threads: 1 }, async (session) => {
        const outputs = await session.run(new Map([['x', { dtype: 'float32' as const, shape: [2, 64], data: x }]]));
        return outputs.get('y')!.data as Float32Array;
      });
    const [wanted, got] = [await run(product(2)), await run(program)];
    expect(Math.max(...wanted.map((value, index) => Math.abs(value - got[index]!)))).toBeLessThan(1e-4);
  });

  test('signed weights of ConvInteger become unsigned, with the same products', async () => {
    const signed = parseProgram(`program opset=21
graph m(x: uint8[1, 2, 5, 5]) -> (y: int32[1, 3, 3, 3]) {
  w: int8[3, 2, 3, 3] = integers(seed=1, low=-128, high=127)
  a: uint8 = ones
  y = ConvInteger(x, w, a)
}`);
    const copy = cloneProgram(signed);
    const { findings } = lowerForTarget(copy, parseTarget('ort-web@1.22'), lowerToQdq);
    expect(findings[0]!.text).toMatch(/unsigned weights/);
    const x = Uint8Array.from({ length: 50 }, (_, index) => (index * 37) % 256);
    const run = (one: Program): Promise<unknown> =>
      withSession(onnxruntimeEngine, one, { threads: 1 }, async (session) => {
        const feeds = new Map([['x', { dtype: 'uint8' as const, shape: [1, 2, 5, 5], data: x }]]);
        return (await session.run(feeds)).get('y')!.data;
      });
    expect(await run(copy)).toEqual(await run(signed));
    expect(encodeProgram(copy).length).toBeGreaterThan(0);
  });

  test('what cannot be replaced is refused with what to change', () => {
    const refusal = (text: string, opset: number): CompressError => {
      try {
        lowerForTarget(
          parseProgram(`program opset=${opset} com.microsoft=1 ${text}`),
          parseTarget('ort-web@1.22'),
          lowerToQdq,
        );
      } catch (error) {
        return error instanceof CompressErrors ? error.errors[0]! : (error as CompressError);
      }
      throw new Error('nothing was refused');
    };
    const relu = 'graph m(x: float32[2]) -> (y: float32[2]) { y = Relu(x) }';
    expect(refusal(relu, 24).message).toMatch(/operator sets up to 22, and the model has 24/);
    const wide = `graph m(x: float32[2, 32]) -> (y: float32[2, 4]) {
      b: uint8[4, 1, 32] = ones
      s: float32[4, 1] = ones
      y = com.microsoft::MatMulNBits(x, b, s, K=32, N=4, bits=8, block_size=32)
    }`;
    const found = refusal(wide, 21);
    expect([found.code, found.message]).toEqual(['unsupported', 'ort-web@1.22 does not run MatMulNBits with 8 bits']);
    expect(found.hint).toMatch(/onnx-qdq/);
  });

  test.each(['ort-web@1.18', 'transformersjs@2.17', 'tflite@2.1', 'ort-web@new', ''])('%j is no target', (text) => {
    expect(() => parseTarget(text)).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});
