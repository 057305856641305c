import { describe, expect, test } from 'vitest';
import { liftDequantized } from '../../../src/artifact/formats/onnx/lift/dequantize.ts';
import { sharedRun } from '../../../src/artifact/formats/onnx/lift/merge-blocks.ts';
import { liftBlockOperators } from '../../../src/artifact/formats/onnx/lift/operators.ts';
import { lowerToMatMulNBits } from '../../../src/artifact/formats/onnx/lower/matmulnbits.ts';
import { lowerToQdq } from '../../../src/artifact/formats/onnx/lower/qdq.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { PackedTensor } from '../../../src/ir/packed-tensor.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { printProgram } from '../../../src/ir/text/print.ts';

const packedOf = (program: Program): PackedTensor[] =>
  [...program.graph.initializers].flatMap(({ tensor }) => (tensor instanceof PackedTensor ? [tensor] : []));

const operators = (program: Program): string[] => program.graph.nodes.map(({ op }) => op);

describe('lifting undoes lowering', () => {
  test.each([
    ['rows-last', 4],
    ['rows-last', 8],
    ['rows-first', 4],
  ])('%s, %i bits', (layout, bits) => {
    const use = layout === 'rows-last' ? 'y = MatMul(x, w)' : 'y = Gather(w, i)';
    const program = parseProgram(`program opset=21
graph m(x: float32[2, 64], i: int64[2]) -> (y: float32[2, 64]) {
  w: float32[64, 64] = packed(bits=${bits}, group_size=32, layout="${layout}", seed=1)
  ${use}
}`);
    const wanted = packedOf(program)[0]!;
    for (const form of ['blocks', 'dequantized']) {
      const copy = cloneProgram(program);
      if (form === 'blocks') lowerToMatMulNBits(copy, { accuracyLevel: 0 });
      else lowerToQdq(copy);
      expect(packedOf(copy)).toEqual([]);
      liftBlockOperators(copy);
      liftDequantized(copy);
      const [got] = packedOf(copy);
      const { method: _, codes, scales, zeroPoints, ...facts } = wanted.facts;
      expect(got!.facts).toMatchObject(facts);
      expect(got!.facts.codes).toEqual(codes);
      expect(got!.facts.scales).toEqual(scales);
      expect(got!.facts.zeroPoints).toEqual(zeroPoints);
      expect(operators(copy)).toEqual(operators(program));
    }
  });

  test('a table that a head shares is one constant again', () => {
    const program = parseProgram(`program opset=21
graph m(i: int64[2]) -> (y: float32[2, 40]) {
  w: float32[40, 64] = packed(bits=4, group_size=32, layout="rows-first", seed=1)
  x = Gather(w, i)
  t = Transpose(w, perm=[1, 0])
  y = MatMul(x, t)
}`);
    lowerToMatMulNBits(program, { accuracyLevel: 0 });
    expect(operators(program)).toContain('MatMulNBits');
    liftBlockOperators(program);
    expect(packedOf(program)).toHaveLength(1);
    expect(operators(program)).toEqual(['Gather', 'Transpose', 'MatMul']);
  });

  test.each([
    [
      'a product whose activations are rounded too',
      `q: int8[8, 8] = ones  s: float32 = ones
  a: uint8[2, 8] = QuantizeLinear(x, s)
  b = DequantizeLinear(a, s)
  r: float32[8] = ones
  w = DequantizeLinear(q, r, axis=1)
  y = MatMul(b, w)`,
    ],
    [
      'a product with an order of inputs',
      `b: uint8[8, 1, 16] = ones  s: float32[8, 1] = ones  g: int32[8] = ones
  y = com.microsoft::MatMulNBits(x, b, s, _, g, K=8, N=8, bits=4, block_size=32)`,
    ],
    ['a graph without stored integers, dead nodes too', 'w: float32[8, 8] = ones  d = Abs(x)  y = MatMul(x, w)'],
  ])('%s stays as it is', (_what, body) => {
    const program = parseProgram(`program opset=21 com.microsoft=1
graph m(x: float32[2, 8]) -> (y: float32[2, 8]) {
  ${body}
}`);
    const before = printProgram(program);
    liftBlockOperators(program);
    liftDequantized(program);
    expect(printProgram(program)).toBe(before);
  });

  test('blocks that share scale and zero point in every row are one group', () => {
    const grid = (scales: number[]) => ({ scales: Float32Array.from(scales), zeroPoints: null });
    expect(sharedRun(grid([1, 1, 1, 1, 2, 2, 2, 2]), 4)).toBe(4);
    expect(sharedRun(grid([1, 1, 2, 2, 3, 3, 3, 3]), 4)).toBe(2);
    expect(sharedRun(grid([1, 1, 2, 2, 3, 3, 3, 4]), 4)).toBe(1);
    expect(sharedRun({ ...grid([1, 1, 1, 1]), zeroPoints: Uint8Array.of(0, 0, 0, 1) }, 4)).toBe(1);
  });
});
