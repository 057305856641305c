import { describe, expect, test } from 'vitest';
import { lowerToMatMulNBits } from '../../../src/artifact/formats/onnx/lower/matmulnbits.ts';
import { lowerToQdq } from '../../../src/artifact/formats/onnx/lower/qdq.ts';
import type { LoweredWeight, LoweringReport } from '../../../src/artifact/formats/onnx/lower/report.ts';
import type { NumericArray } from '../../../src/calibration/dataset.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { PackedTensor } from '../../../src/ir/packed-tensor.ts';
import { tensorType } from '../../../src/ir/shape.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { constantOf, nodesWithin } from '../../../src/ir/walk.ts';
import { intArray, largestDifference, normalArray, runProgram } from './run.ts';

const toBlocks = (program: Program): LoweringReport => lowerToMatMulNBits(program, { accuracyLevel: 0 });

const lowered = (program: Program, lower: (program: Program) => LoweringReport): [Program, LoweringReport] => {
  const copy = cloneProgram(program);
  return [copy, lower(copy)];
};

const operators = (program: Program): string[] => [...nodesWithin(program.graph)].map((node) => node.op);
const forms = ({ weights }: LoweringReport): LoweredWeight['form'][] => weights.map(({ form }) => form);

/**
 * Rounding of float32 sums. 'basic' optimisation: above it onnxruntime turns DequantizeLinear and MatMul into its own
 * MatMulNBits that rounds activations to 8 bits, which is no question of the file.
 */
const differs = async (a: Program, b: Program, feeds: Readonly<Record<string, NumericArray>>): Promise<number> => {
  const [before, after] = [
    await runProgram(a, feeds, { optimization: 'basic' }),
    await runProgram(b, feeds, { optimization: 'basic' }),
  ];
  let size = 1e-9;
  for (const { data } of before.values()) for (const number of data) size = Math.max(size, Math.abs(Number(number)));
  return largestDifference(before, after) / size;
};

interface Layer {
  readonly what: string;
  /** The graph, with `PACKED` for the arguments of packed(). */
  readonly text: string;
  readonly feeds: Readonly<Record<string, NumericArray>>;
  readonly blocks: readonly LoweredWeight['form'][];
}

const x = (...shape: number[]): Readonly<Record<string, NumericArray>> => ({ x: normalArray(shape, 1) });
const ids = { i: intArray([2, 3], [1, 2, 3, 49, 0, 7]) };

const layers: readonly Layer[] = [
  {
    what: 'MatMul whose groups divide its width',
    text: 'graph m(x: float32[3, 64]) -> (y) { w: float32[64, 48] = packed(group_size=32, layout="rows-last", PACKED) y = MatMul(x, w) }',
    feeds: x(3, 64),
    blocks: ['MatMulNBits'],
  },
  {
    what: 'MatMul whose last group is short',
    text: 'graph m(x: float32[2, 3, 172]) -> (y) { w: float32[172, 20] = packed(group_size=32, layout="rows-last", PACKED) y = MatMul(x, w) }',
    feeds: x(2, 3, 172),
    blocks: ['MatMulNBits'],
  },
  {
    what: 'MatMul with one scale a row',
    text: 'graph m(x: float32[3, 172]) -> (y) { w: float32[172, 20] = packed(layout="rows-last", PACKED) y = MatMul(x, w) }',
    feeds: x(3, 172),
    blocks: ['MatMulNBits'],
  },
  {
    what: 'MatMul in groups that are several blocks wide',
    text: 'graph m(x: float32[3, 160]) -> (y) { w: float32[160, 20] = packed(group_size=48, layout="rows-last", PACKED) y = MatMul(x, w) }',
    feeds: x(3, 160),
    blocks: ['MatMulNBits'],
  },
  {
    what: 'MatMul in groups that no power of two divides',
    text: 'graph m(x: float32[3, 100]) -> (y) { w: float32[100, 20] = packed(group_size=20, layout="rows-last", PACKED) y = MatMul(x, w) }',
    feeds: x(3, 100),
    blocks: ['DequantizeLinear'],
  },
  {
    what: 'Gemm with a bias, its weight transposed',
    text: 'graph m(x: float32[3, 64]) -> (y) { b: float32[20] = random(seed=4) w: float32[20, 64] = packed(group_size=32, PACKED) y = Gemm(x, w, b, transB=1) }',
    feeds: x(3, 64),
    blocks: ['MatMulNBits'],
  },
  {
    what: 'Gemm that scales its product',
    text: 'graph m(x: float32[3, 64]) -> (y) { w: float32[64, 20] = packed(group_size=32, layout="rows-last", PACKED) y = Gemm(x, w, alpha=0.5) }',
    feeds: x(3, 64),
    blocks: ['DequantizeLinear'],
  },
  {
    what: 'an embedding',
    text: 'graph m(i: int64[2, 3]) -> (y) { w: float32[50, 64] = packed(group_size=32, PACKED) y = Gather(w, i) }',
    feeds: ids,
    blocks: ['GatherBlockQuantized'],
  },
  {
    what: 'an embedding tied to a head',
    text: 'graph m(i: int64[2, 3]) -> (y) { w: float32[50, 64] = packed(group_size=32, PACKED) h = Gather(w, i) t = Transpose(w, perm=[1, 0]) y = MatMul(h, t) }',
    feeds: ids,
    blocks: ['GatherBlockQuantized', 'MatMulNBits'],
  },
  {
    what: 'an embedding whose width no block divides',
    text: 'graph m(i: int64[2, 3]) -> (y) { w: float32[50, 40] = packed(PACKED) h = Gather(w, i) t = Transpose(w, perm=[1, 0]) y = MatMul(h, t) }',
    feeds: ids,
    blocks: ['MatMulNBits', 'DequantizeLinear'],
  },
  {
    what: 'a convolution with one scale a row',
    text: 'graph m(x: float32[1, 8, 6, 6]) -> (y) { w: float32[12, 4, 3, 3] = packed(PACKED) y = Conv(x, w, group=2) }',
    feeds: x(1, 8, 6, 6),
    blocks: ['DequantizeLinear'],
  },
  {
    what: 'a convolution with groups of weights',
    text: 'graph m(x: float32[1, 8, 6, 6]) -> (y) { w: float32[12, 8, 3, 3] = packed(group_size=16, PACKED) y = Conv(x, w) }',
    feeds: x(1, 8, 6, 6),
    blocks: ['DequantizeLinear'],
  },
  {
    what: 'a recurrent layer in both directions',
    text: `graph m(x: float32[5, 1, 24]) -> (y) { r: float32[2, 32, 8] = packed(PACKED) w: float32[2, 32, 24] = packed(PACKED)
      y = LSTM(x, w, r, hidden_size=8, direction="bidirectional") }`,
    feeds: x(5, 1, 24),
    blocks: ['DequantizeLinear', 'DequantizeLinear'],
  },
  {
    what: 'a weight in the body of an If, held by a Constant',
    text: `graph m(c: bool[], x: float32[3, 64]) -> (y) { y = If(c, then_branch=graph a() -> (p) {
      w: float32[64, 8] = packed(group_size=32, layout="rows-last", PACKED) p = MatMul(x, w) },
      else_branch=graph b() -> (q) { v: float32[64, 8] = random(seed=2) q = MatMul(x, v) }) }`,
    feeds: { ...x(3, 64), c: { dtype: 'bool', shape: [], data: Uint8Array.of(1) } },
    blocks: ['MatMulNBits'],
  },
];

const grids = [2, 3, 4, 8].flatMap((bits) => [true, false].map((zeroPoints) => ({ bits, zeroPoints })));

describe.each(grids)('$bits bits, zero points: $zeroPoints', ({ bits, zeroPoints }) => {
  test.each(layers)('$what', async ({ text, feeds, blocks }) => {
    const filled = text.replaceAll('PACKED', `bits=${bits}, zero_points=${zeroPoints}, seed=3`);
    const program = parseProgram(`program opset=17 ${filled}`);
    const [blockwise, report] = lowered(program, toBlocks);
    expect(forms(report)).toEqual(blocks);
    expect(await differs(program, blockwise, feeds)).toBeLessThan(2e-6);
    const [linear, linearReport] = lowered(program, lowerToQdq);
    expect(new Set(forms(linearReport))).toEqual(new Set(['DequantizeLinear']));
    expect(await differs(program, linear, feeds)).toBeLessThan(2e-6);
  });
});

describe('lowering', () => {
  const packedMatMul = (facts: string, dtype = 'float32'): Program =>
    parseProgram(
      `program opset=17 graph m(x: ${dtype}[3, 64]) -> (y) { w: ${dtype}[64, 8] = packed(${facts}, layout="rows-last") y = MatMul(x, w) { name: "fc", role: "up" } }`,
    );

  test('leaves nothing packed and no constant that nothing reads', () => {
    for (const lower of [toBlocks, lowerToQdq]) {
      const [program] = lowered(packedMatMul('group_size=32'), lower);
      for (const value of program.graph.initializers) {
        expect(constantOf(value)).not.toBeInstanceOf(PackedTensor);
        expect(value.uses.length, value.name).toBeGreaterThan(0);
      }
    }
  });

  test('keeps names, roles and the outputs of the graph', () => {
    const [program] = lowered(packedMatMul('group_size=32'), toBlocks);
    const node = program.graph.nodes[0]!;
    expect([node.op, node.name, node.metadata.get('modelpress.role')]).toEqual(['MatMulNBits', 'fc', 'up']);
    expect(program.graph.outputs.map(({ name }) => name)).toEqual(['y']);
    expect(program.opsets.get('com.microsoft')).toBe(1);
  });

  test('stores a tied table once', () => {
    const tied = parseProgram(
      'program opset=17 graph m(i: int64[2]) -> (y) { w: float32[512, 64] = packed(group_size=32) h = Gather(w, i) t = Transpose(w) y = MatMul(h, t) }',
    );
    const [program] = lowered(tied, toBlocks);
    const bytes = [...program.graph.initializers].reduce((sum, { tensor }) => sum + tensor!.byteLength, 0);
    expect(bytes).toBe(512 * (32 + 2 * 4 + 1) + 16);
  });

  test('needs no zero points for symmetric grids, of 3 bits either', () => {
    for (const bits of [2, 3, 4, 8])
      for (const lower of [toBlocks, lowerToQdq]) {
        const [program] = lowered(packedMatMul(`bits=${bits}, group_size=32, zero_points=false`), lower);
        expect([...program.graph.initializers].map(({ name }) => name)).toHaveLength(2);
      }
  });

  test('asks for the accuracy it is told to', () => {
    const [program] = lowered(packedMatMul('group_size=32'), (copy) => lowerToMatMulNBits(copy, { accuracyLevel: 4 }));
    expect(program.graph.nodes[0]?.int('accuracy_level')).toBe(4);
  });

  test('keeps half-precision weights in half precision', async () => {
    const program = packedMatMul('group_size=32', 'float16');
    const feeds = { x: { dtype: 'float16', shape: [3, 64], data: new Uint16Array(192).fill(0x3800) } } as const;
    for (const lower of [toBlocks, lowerToQdq]) {
      const [made] = lowered(program, lower);
      expect([...made.graph.initializers].find(({ name }) => name.includes('scale'))?.tensor?.dtype).toBe('float16');
      const result = await runProgram(made, feeds);
      expect(result.get('y')?.dtype).toBe('float16');
    }
  });

  test('reads a weight that is used in another way, too, from its integers', async () => {
    const program = parseProgram(
      'program opset=17 graph m(x: float32[3, 32]) -> (y, z) { w: float32[32, 32] = packed(group_size=32, layout="rows-last") y = MatMul(x, w) z = Neg(w) }',
    );
    const [made, report] = lowered(program, toBlocks);
    expect(forms(report)).toEqual(['MatMulNBits', 'DequantizeLinear']);
    expect(await differs(program, made, x(3, 32))).toBeLessThan(2e-6);
  });

  test('takes a quantized constant off the graph’s inputs', () => {
    const program = packedMatMul('group_size=32');
    program.graph.inputs.push(...program.graph.initializers);
    for (const lower of [toBlocks, lowerToQdq]) {
      const [made] = lowered(program, lower);
      expect(made.graph.inputs.map(({ name }) => name)).toEqual(['x']);
    }
  });

  test('raises the operator set no further than the weights need', () => {
    const wanted = [
      ['bits=8, zero_points=false', 13],
      ['bits=8, group_size=32', 21],
      ['bits=4', 21],
      ['bits=2', 25],
    ] as const;
    for (const [facts, opset] of wanted) {
      const program = parseProgram(
        `program opset=9 graph m(x: float32[1, 2, 8, 8]) -> (y) { w: float32[4, 2, 8, 8] = packed(${facts}) y = Conv(x, w) }`,
      );
      const [made, report] = lowered(program, lowerToQdq);
      expect(made.opsets.get('')).toBe(opset);
      expect(report.findings.map(({ kind }) => kind)).toEqual(['fact']);
    }
  });

  test('writes floating point, and says so, where the operator set cannot be raised', async () => {
    const program = parseProgram(
      'program opset=11 graph m(x: float32[1, 2, 8, 8]) -> (y) { w: float32[4, 2, 3, 3] = packed(bits=4) c = Conv(x, w) y = AveragePool(c, kernel_shape=[3, 3], ceil_mode=1, count_include_pad=1) }',
    );
    const [made, report] = lowered(program, lowerToQdq);
    expect(made.opsets.get('')).toBe(11);
    expect(forms(report)).toEqual(['dequantized']);
    expect(report.findings.map(({ kind }) => kind)).toEqual(['warning', 'fallback']);
    expect(report.findings[0]?.text).toMatch(/AveragePool/);
    expect(await differs(program, made, x(1, 2, 8, 8))).toBeLessThan(1e-6);
  });

  test('carries transposed convolutions, whose rows lie second', async () => {
    const program = parseProgram(
      'program opset=17 graph m(x: float32[1, 6, 5, 5]) -> (y) { w: float32[6, 8, 2, 3] = zeros y = ConvTranspose(x, w) }',
    );
    const source = parseProgram(
      'program opset=17 graph m(x: float32[2, 36]) -> (y) { w: float32[8, 36] = packed(bits=4, group_size=PACKED, seed=2) y = Gemm(x, w, transB=1) }'.replace(
        'PACKED',
        '16',
      ),
    );
    const facts = (constantOf([...source.graph.initializers][0]) as PackedTensor).facts;
    for (const groupSize of [16, 36]) {
      const groups = Math.ceil(36 / groupSize);
      const packed = new PackedTensor({
        ...facts,
        shape: [6, 8, 2, 3],
        layout: 'rows-second',
        groupSize,
        scales: facts.scales.slice(0, 8 * groups),
        zeroPoints: facts.zeroPoints!.slice(0, 8 * groups),
      });
      const weight = [...program.graph.initializers][0]!;
      weight.tensor = packed;
      weight.type = tensorType(packed.dtype, packed.shape);
      const [made, report] = lowered(program, toBlocks);
      expect(forms(report)).toEqual(['DequantizeLinear']);
      expect(operators(made).includes('Transpose')).toBe(groupSize === 16);
      expect(await differs(program, made, x(1, 6, 5, 5))).toBeLessThan(2e-6);
    }
  });
});
