import { describe, expect, it } from 'vitest';
import { readOnnx } from '../../../src/artifact/formats/onnx/read.ts';
import { type FoldedNormalization, foldBatchNormalization } from '../../../src/ir/edit/fold-batch-normalization.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { verify } from '../../../src/ir/verify.ts';
import { sharedData } from '../../shared.ts';
import { largestDifference, randomFeeds, runProgram } from '../run.ts';
import { expectSameOutputs } from './equivalence.ts';

const parameters = (channels: number, dtype = 'float32'): string =>
  `
  gamma: ${dtype}[${channels}] = random(seed=11)
  beta: ${dtype}[${channels}] = random(seed=12)
  mean: ${dtype}[${channels}] = random(seed=13)
  spread: ${dtype}[${channels}] = integers_as_variance
`.replace('integers_as_variance', `[${Array.from({ length: channels }, (_, index) => 0.25 + index * 0.5).join(', ')}]`);

const program = (header: string, statements: string, opset = 17): string =>
  `program opset=${opset}\ngraph g${header} {\n${statements}\n}\n`;

const fold = (edited: Program): FoldedNormalization[] => foldBatchNormalization(edited);

describe('a BatchNormalization goes into the product before it, and outputs stay', () => {
  it.each([
    [
      'Conv without bias',
      '(x: float32[n, 4, s, 5]) -> (y)',
      `${parameters(6)}
  w: float32[6, 4, 3, 3] = random(seed=1)
  a = Conv(x, w, pads=[1, 1, 1, 1])
  y = BatchNormalization(a, gamma, beta, mean, spread, epsilon=1e-3)`,
    ],
    [
      'Conv with bias and groups',
      '(x: float32[n, 4, s, 5]) -> (y)',
      `${parameters(6)}
  w: float32[6, 2, 3, 3] = random(seed=1)
  b: float32[6] = random(seed=2)
  a = Conv(x, w, b, group=2, pads=[1, 1, 1, 1])
  c = BatchNormalization(a, gamma, beta, mean, spread)
  y = Relu(c)`,
    ],
    [
      'ConvTranspose with groups',
      '(x: float32[n, 4, s, 5]) -> (y)',
      `${parameters(6)}
  w: float32[4, 3, 2, 3] = random(seed=1)
  a = ConvTranspose(x, w, group=2, strides=[2, 1])
  y = BatchNormalization(a, gamma, beta, mean, spread)`,
    ],
    [
      'Gemm',
      '(x: float32[n, 4]) -> (y)',
      `${parameters(6)}
  w: float32[4, 6] = random(seed=1)
  b: float32[6] = random(seed=2)
  a = Gemm(x, w, b, alpha=0.5, beta=2.0)
  y = BatchNormalization(a, gamma, beta, mean, spread)`,
    ],
    [
      'Gemm with a transposed weight and a scalar bias',
      '(x: float32[n, 4]) -> (y)',
      `${parameters(6)}
  w: float32[6, 4] = random(seed=1)
  b: float32[1] = [0.5]
  a = Gemm(x, w, b, transB=1)
  y = BatchNormalization(a, gamma, beta, mean, spread)`,
    ],
    [
      'MatMul, which gets an Add',
      '(x: float32[n, 4]) -> (y)',
      `${parameters(6)}
  w: float32[4, 6] = random(seed=1)
  a = MatMul(x, w)
  y = BatchNormalization(a, gamma, beta, mean, spread)`,
    ],
    [
      'Conv in a branch',
      '(x: float32[n, 4, s], c: bool[]) -> (y)',
      `${parameters(6)}
  w: float32[6, 4, 3] = random(seed=1)
  y = If(c, then_branch=graph t() -> (p) {
    a = Conv(x, w)
    p = BatchNormalization(a, gamma, beta, mean, spread)
  }, else_branch=graph e() -> (q) { q = Conv(x, w) })`,
    ],
  ])('%s', async (_, header, statements) => {
    const { program: edited, result } = await expectSameOutputs(program(header, statements), fold, { tolerance: 2e-5 });
    expect(result).toEqual([{ normalization: expect.any(String), into: 'a' }]);
    expect(JSON.stringify(edited.graph.nodes.map((node) => node.op))).not.toContain('BatchNormalization');
  });

  it('chains fold one after the other', async () => {
    const text = program(
      '(x: float32[n, 4, s]) -> (y)',
      `${parameters(4)}
  w: float32[4, 4, 3] = random(seed=1)
  a = Conv(x, w)
  b = BatchNormalization(a, gamma, beta, mean, spread)
  y = BatchNormalization(b, beta, gamma, mean, spread)`,
    );
    const { ops } = await expectSameOutputs(text, fold, { tolerance: 2e-5 });
    expect(ops).toEqual(['Conv']);
  });

  it('a weight that another node reads is copied', async () => {
    const text = program(
      '(x: float32[n, 4, s]) -> (y, z)',
      `${parameters(4)}
  w: float32[4, 4, 3] = random(seed=1)
  b: float32[4] = random(seed=2)
  a = Conv(x, w, b)
  y = BatchNormalization(a, gamma, beta, mean, spread)
  z = Conv(x, w, b)`,
    );
    const { program: edited } = await expectSameOutputs(text, fold, { tolerance: 2e-5 });
    expect([...edited.graph.initializers].map((value) => value.name)).toEqual(['w', 'b', 'w_1', 'b_1']);
  });

  it('the weight is rounded once: folding in float64 agrees to the last bits', async () => {
    const text = program(
      '(x: float64[n, 4]) -> (y)',
      `${parameters(6, 'float64')}
  w: float64[4, 6] = random(seed=1)
  b: float64[6] = random(seed=2)
  a = Gemm(x, w, b)
  y = BatchNormalization(a, gamma, beta, mean, spread)`,
    );
    await expectSameOutputs(text, fold, { tolerance: 1e-13 });
  });
});

describe('a BatchNormalization stays, with the reason', () => {
  it.each([
    [
      /read elsewhere/,
      '(x: float32[n, 4, s]) -> (y, z)',
      'a = Conv(x, w)\n  y = BatchNormalization(a, gamma, beta, mean, spread)\n  z = Relu(a)',
    ],
    [
      /read elsewhere/,
      '(x: float32[n, 4, s]) -> (y, a)',
      'a = Conv(x, w)\n  y = BatchNormalization(a, gamma, beta, mean, spread)',
    ],
    [
      /comes from Relu/,
      '(x: float32[n, 4, s]) -> (y)',
      'a = Relu(x)\n  y = BatchNormalization(a, gamma, beta, mean, spread)',
    ],
    [/computed by no product/, '(x: float32[n, 4, s]) -> (y)', 'y = BatchNormalization(x, gamma, beta, mean, spread)'],
    [
      /weight of a is not constant/,
      '(x: float32[n, 4, s], v: float32[4, 4, 3]) -> (y)',
      'a = Conv(x, v)\n  y = BatchNormalization(a, gamma, beta, mean, spread)',
    ],
    [
      /bias of a is not constant/,
      '(x: float32[n, 4, s], v: float32[4]) -> (y)',
      'a = Conv(x, w, v)\n  y = BatchNormalization(a, gamma, beta, mean, spread)',
    ],
    [
      /parameters are not constant/,
      '(x: float32[n, 4, s], v: float32[4]) -> (y)',
      'a = Conv(x, w)\n  y = BatchNormalization(a, v, beta, mean, spread)',
    ],
    [
      /training/,
      '(x: float32[n, 4, s]) -> (y)',
      'a = Conv(x, w)\n  y, m, u = BatchNormalization(a, gamma, beta, mean, spread, training_mode=1)',
    ],
    [
      /channels of a are not those/,
      '(x: float32[n, 4, 5]) -> (y)',
      'v: float32[5, 4] = random(seed=1)\n  a = MatMul(x, v)\n  y = BatchNormalization(a, gamma, beta, mean, spread)',
    ],
    [
      /quantized/,
      '(x: float32[n, 4, s]) -> (y)',
      'v: float32[4, 4, 3] = packed(bits=8, seed=1)\n  a = Conv(x, v)\n  y = BatchNormalization(a, gamma, beta, mean, spread)',
    ],
  ])('%s', (reason, header, statements) => {
    const edited = parseProgram(
      program(header, `${parameters(4)}\n  w: float32[4, 4, 3] = random(seed=1)\n  ${statements}`),
    );
    expect(foldBatchNormalization(edited)).toEqual([{ normalization: 'y', reason: expect.stringMatching(reason) }]);
    expect(edited.graph.nodes.at(-1)?.op === 'Relu' || edited.graph.nodes.at(-1)?.op === 'BatchNormalization').toBe(
      true,
    );
  });
});

describe.each([
  ['vision-cifar10-resnet', 'resnet20_cifar10.onnx', [2, 3, 32, 32], 19],
  ['detect-ultraface', 'version-RFB-320.onnx', [1, 3, 240, 320], 35],
] as const)('%s/%s (needs ../shared/data)', (folder, file, shape, count) => {
  const path = sharedData(folder, file);
  it.skipIf(!path)('all its normalizations fold, and the outputs stay', async () => {
    const before = readOnnx(path!);
    const after = readOnnx(path!);
    const results = foldBatchNormalization(after);
    expect(results.filter((result) => result.into !== undefined)).toHaveLength(count);
    expect(after.graph.nodes.filter((node) => node.op === 'BatchNormalization')).toEqual([]);
    expect(verify(after)).toEqual([]);
    const feeds = randomFeeds(before, { input: shape });
    const [a, b] = [await runProgram(before, feeds), await runProgram(after, feeds)];
    for (const [name, array] of a) expect([name, largestDifference(array, b.get(name)) < 1e-4]).toEqual([name, true]);
  });
});
