import { describe, expect, test } from 'vitest';
import { packSite, readSiteMatrix, writeSiteMatrix } from '../../src/analysis/site-weights.ts';
import { findSites } from '../../src/analysis/sites.ts';
import { readOnnx } from '../../src/artifact/formats/onnx/read.ts';
import { foldConstants } from '../../src/ir/edit/fold-constants.ts';
import { matrixOfArray } from '../../src/ir/matrix-layout.ts';
import { PackedTensor } from '../../src/ir/packed-tensor.ts';
import { readFloats } from '../../src/ir/read.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { constantOf } from '../../src/ir/walk.ts';
import { packRows, quantizeRtn } from '../../src/kernels/index.ts';
import { sharedData } from '../shared.ts';

const sitesOf = (inputs: string, body: string) =>
  findSites(parseProgram(`program opset=21\ngraph main(${inputs}) -> (y) {\n${body}\n}`));

describe('sites', () => {
  test.each([
    ['MatMul', 'x: float32[1, 6]', 'w: float32[6, 4] = range\ny = MatMul(x, w)', [4, 6, 'rows-last']],
    ['Gemm', 'x: float32[1, 6]', 'w: float32[6, 4] = range\ny = Gemm(x, w)', [4, 6, 'rows-last']],
    [
      'Gemm, transposed',
      'x: float32[1, 6]',
      'w: float32[4, 6] = range\ny = Gemm(x, w, transB=1)',
      [4, 6, 'rows-first'],
    ],
    ['Conv', 'x: float32[1, 2, 5, 5]', 'w: float32[4, 2, 3, 2] = range\ny = Conv(x, w)', [4, 12, 'rows-first']],
    [
      'ConvTranspose',
      'x: float32[1, 2, 5, 5]',
      'w: float32[2, 4, 3, 2] = range\ny = ConvTranspose(x, w)',
      [4, 12, 'rows-second'],
    ],
    ['Gather', 'x: int64[3]', 'w: float32[4, 6] = range\ny = Gather(w, x)', [4, 6, 'rows-first']],
    [
      'LSTM',
      'x: float32[3, 1, 6]',
      'w: float32[1, 8, 6] = range\nr: float32[1, 8, 2] = range\ny = LSTM(x, w, r, hidden_size=2)',
      [8, 6, 'rows-first'],
    ],
    [
      'a tied head',
      'x: float32[1, 6]',
      'w: float32[4, 6] = range\nt = Transpose(w, perm=[1, 0])\ny = MatMul(x, t)',
      [4, 6, 'rows-first'],
    ],
  ])('%s is seen as a matrix of outputs by inputs', (_, inputs, body, expected) => {
    const [site] = sitesOf(inputs, body);
    expect([site?.rows, site?.columns, site?.layout]).toEqual(expected);
  });

  test('products of activations, small constants, integer weights and lookups of constants are none', () => {
    expect(sitesOf('x: float32[4, 4]', 'y = MatMul(x, x)')).toEqual([]);
    expect(sitesOf('x: float32[1, 2]', 'w: float32[2, 2] = range\ny = MatMul(x, w)')).toEqual([]);
    expect(sitesOf('x: int64[3]', 'w: int64[8, 8] = zeros\ny = Gather(w, x)')).toEqual([]);
    expect(
      sitesOf('x: float32[3]', 'w: float32[8, 8] = range\ni: int64[3] = zeros\nz = Gather(w, i)\ny = Add(z, x)'),
    ).toEqual([]);
  });

  test('have distinct names, by node, by weight, numbered where several share one', () => {
    const names = sitesOf(
      'x: float32[1, 4]',
      'w: float32[4, 4] = range\nv: float32[4, 4] = range\np = MatMul(x, w) { name: "first" }\nq = MatMul(p, v)\nr = MatMul(q, v)\ny = MatMul(r, w) { name: "last" }',
    ).map((site) => site.name);
    expect(names).toEqual(['first', 'v#0', 'v#1', 'last']);
  });

  test('stand in branch bodies too', () => {
    const [site] = sitesOf(
      'c: bool[], x: float32[1, 4]',
      'y = If(c, then_branch=graph a() -> (p) { w: float32[4, 4] = range\np = MatMul(x, w) }, else_branch=graph b() -> (q) { q = Neg(x) })',
    );
    expect(site?.graph.ownerNode?.op).toBe('If');
  });
});

describe('weights of sites', () => {
  test('a matrix read and written again leaves the constant as it was, in every layout', () => {
    for (const body of [
      'w: float32[6, 4] = range\ny = MatMul(x, w)',
      'w: float32[4, 6] = range\ny = Gemm(x, w, transB=1)',
      'w: float32[2, 4, 3, 2] = range\ny = ConvTranspose(x, w)',
    ]) {
      const [site] = sitesOf('x: float32[1, 2, 6, 6]', body);
      const before = Array.from(readFloats(constantOf(site!.weight)!));
      const matrix = readSiteMatrix(site!);
      writeSiteMatrix(site!, Float32Array.from(matrix));
      expect(Array.from(readFloats(constantOf(site!.weight)!))).toEqual(before);
    }
  });

  test('the rows of a transposed convolution are its output channels', () => {
    const [site] = sitesOf('x: float32[1, 2, 5, 5]', 'w: float32[2, 3, 2, 2] = range\ny = ConvTranspose(x, w)');
    const whole = readFloats(constantOf(site!.weight)!);
    const at = (input: number, output: number, tap: number): number => whole[(input * 3 + output) * 4 + tap]!;
    const row = Array.from(readSiteMatrix(site!).subarray(8, 16));
    expect(row).toEqual([0, 1].flatMap((input) => [0, 1, 2, 3].map((tap) => at(input, 1, tap))));
  });

  test.each(['float32', 'float16', 'bfloat16'])(
    'packed weights of %s stand for the dequantized constant, in every layout',
    async (dtype) => {
      for (const [shape, op] of [
        ['8, 4', 'MatMul(x, w)'],
        ['4, 8', 'Gemm(x, w, transB=1)'],
        ['2, 4, 2, 2', 'ConvTranspose(x, w)'],
      ]) {
        const [site] = sitesOf(`x: ${dtype}[1, 2, 8, 8]`, `w: ${dtype}[${shape}] = random(seed=3)\ny = ${op}`);
        const { rows, columns } = site!;
        const weight = readSiteMatrix(site!);
        const found = await quantizeRtn({ weight, rows, columns, bits: 4, groupSize: 4, scheme: 'asymmetric' });
        const codes = packRows({ codes: found.codes, rows, columns, bits: 4 });
        packSite(site!, {
          bits: 4,
          storedBits: 4,
          groupSize: 4,
          codes,
          scales: found.scales,
          zeroPoints: found.zeroPoints,
          method: 'rtn',
        });
        const tensor = constantOf(site!.weight)!;
        expect(tensor).toBeInstanceOf(PackedTensor);
        expect(tensor.dtype).toBe(dtype);
        const matrix = readSiteMatrix(site!);
        const throughArray = matrixOfArray(readFloats(tensor), tensor.shape, site!.layout);
        const tolerance = dtype === 'float32' ? 0 : 0.02;
        for (let index = 0; index < matrix.length; index++) {
          expect(Math.abs(throughArray[index]! - matrix[index]!)).toBeLessThanOrEqual(tolerance);
          expect(Math.abs(matrix[index]! - weight[index]!)).toBeLessThan(0.5);
        }
      }
    },
  );

  test('of double precision are not packed', () => {
    const [site] = sitesOf('x: float64[1, 8]', 'w: float64[8, 4] = random(seed=3)\ny = MatMul(x, w)');
    expect(() => writeSiteMatrix(site!, new Float32Array(32))).toThrow(
      expect.objectContaining({ code: 'unsupported' }),
    );
  });
});

describe.skipIf(!sharedData('README.md'))('sites of the shared models (needs ../shared/data)', () => {
  test.each([
    ['llm-stories260k/model.onnx', { MatMul: 36, Gather: 1 }],
    ['vision-cifar10-resnet/resnet20_cifar10.onnx', { Conv: 19, Gemm: 1 }],
    ['vision-squeezenet-imagenet/squeezenet1.1_fp16.onnx', { Conv: 26 }],
    ['audio-silero-vad/silero_vad_16k_op15.onnx', { Conv: 6, LSTM: 4 }],
    ['audio-silero-vad/silero_vad.onnx', { Conv: 12, LSTM: 8 }],
    ['vision-mnist/mnist.onnx', { Conv: 2, MatMul: 1 }],
    ['vision-style-transfer/candy.onnx', { Conv: 14, ConvTranspose: 2 }],
  ])('%s has them all once constants are folded', (path, expected) => {
    const program = readOnnx(sharedData(path)!);
    foldConstants(program, { maxSharedBytes: Number.POSITIVE_INFINITY });
    const counts: Record<string, number> = {};
    for (const site of findSites(program)) counts[site.op] = (counts[site.op] ?? 0) + 1;
    expect(counts).toEqual(expected);
  });
});
