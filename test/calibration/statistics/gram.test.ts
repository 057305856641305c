import { describe, expect, test } from 'vitest';
import { readSiteMatrix } from '../../../src/analysis/site-weights.ts';
import { findSites } from '../../../src/analysis/sites.ts';
import type { NumericArray } from '../../../src/calibration/dataset.ts';
import { openDataset } from '../../../src/calibration/samples/table.ts';
import { gramObstacle, siteGrams } from '../../../src/calibration/statistics/gram.ts';
import { numbersOfArray } from '../../../src/execution/arrays.ts';
import { type Observation, observeProgram } from '../../../src/execution/observe.ts';
import { onnxruntimeEngine } from '../../../src/execution/onnxruntime.ts';
import { inputSignature } from '../../../src/execution/signature.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { setThreads, threadCount } from '../../../src/kernels/index.ts';

/** One pass over two random samples. */
const gather = async (program: Program, observations: readonly Observation[]): Promise<void> =>
  observeProgram({
    program,
    dataset: await openDataset(
      { random: null, samples: 2 },
      { baseDirectory: '/', seed: 5, modelInputs: inputSignature(program) },
    ),
    engine: onnxruntimeEngine,
    observations,
    task: 'test',
    emit: () => {},
    signal: new AbortController().signal,
  });

/** Σ over outputs of y², and tr(W A Wᵀ) by the gathered moments, group by group. */
const energies = async (program: Program) => {
  const [site] = findSites(program);
  const { observations, gramsOf } = siteGrams([site!]);
  let measured = 0;
  const output = {
    value: site!.output,
    observer: {
      observe: (array: NumericArray) => {
        const numbers = numbersOfArray(array);
        for (let index = 0; index < numbers.length; index++) measured += numbers[index]! ** 2;
      },
    },
  };
  await gather(program, [...observations, output]);
  const weight = readSiteMatrix(site!);
  const { columns, rows, groups } = site!;
  let predicted = 0;
  for (const [group, gram] of gramsOf(site!)!.entries()) {
    const a = gram.matrix();
    for (let row = (rows / groups) * group; row < (rows / groups) * (group + 1); row++)
      for (let i = 0; i < columns; i++)
        for (let j = 0; j < columns; j++)
          predicted += weight[row * columns + i]! * a[i * columns + j]! * weight[row * columns + j]!;
  }
  return { measured, predicted };
};

const graph = (input: string, body: string): Program =>
  parseProgram(`program opset=21\ngraph main(x: float32[${input}]) -> (y) {\n${body}\n}`);

const convolution = (op: string, input: string, weight: string, attributes: string): Program =>
  graph(input, `w: float32[${weight}] = random(seed=2)\ny = ${op}(x, w${attributes ? `, ${attributes}` : ''})`);

describe('second moments of the inputs of a site predict the energy of its output: Σ y² = tr(W A Wᵀ)', () => {
  test.each<[string, Program]>([
    ['MatMul over batches', graph('2, 5, 8', 'w: float32[8, 6] = random(seed=1)\ny = MatMul(x, w)')],
    ['Gemm with transposed weights', graph('7, 8', 'w: float32[6, 8] = random(seed=1)\ny = Gemm(x, w, transB=1)')],
    [
      'a tied head',
      graph('2, 5, 8', 'w: float32[6, 8] = random(seed=1)\nt = Transpose(w, perm=[1, 0])\ny = MatMul(x, t)'),
    ],
    ['Conv', convolution('Conv', '2, 3, 9, 7', '4, 3, 3, 3', 'pads=[1, 0, 2, 1], strides=[2, 1]')],
    ['dilated Conv', convolution('Conv', '1, 3, 9, 9', '4, 3, 3, 2', 'dilations=[2, 3]')],
    ['grouped Conv', convolution('Conv', '1, 6, 8, 8', '4, 3, 3, 3', 'group=2, pads=[1, 1, 1, 1]')],
    ['depthwise Conv', convolution('Conv', '1, 4, 8, 8', '4, 1, 3, 3', 'group=4')],
    ['Conv with SAME_UPPER', convolution('Conv', '1, 3, 8, 7', '4, 3, 4, 3', 'auto_pad="SAME_UPPER", strides=[2, 2]')],
    ['Conv with SAME_LOWER', convolution('Conv', '1, 3, 8, 7', '4, 3, 4, 3', 'auto_pad="SAME_LOWER", strides=[3, 2]')],
    ['Conv with VALID', convolution('Conv', '1, 3, 8, 7', '4, 3, 4, 3', 'auto_pad="VALID"')],
    ['one-dimensional Conv', convolution('Conv', '2, 3, 20', '5, 3, 4', 'pads=[3, 1], strides=[2], dilations=[2]')],
    ['ConvTranspose', convolution('ConvTranspose', '2, 3, 5, 4', '3, 4, 3, 3', 'strides=[2, 2]')],
    [
      'cropped ConvTranspose',
      convolution(
        'ConvTranspose',
        '1, 3, 5, 4',
        '3, 4, 3, 3',
        'strides=[2, 1], pads=[1, 0, 2, 1], output_padding=[1, 0]',
      ),
    ],
    [
      'dilated ConvTranspose',
      convolution('ConvTranspose', '1, 3, 5, 4', '3, 4, 3, 2', 'dilations=[2, 1], strides=[3, 2], pads=[2, 1, 1, 0]'),
    ],
    [
      'ConvTranspose cropped beyond its kernel',
      convolution('ConvTranspose', '1, 3, 6, 6', '3, 4, 2, 2', 'pads=[2, 3, 2, 1]'),
    ],
    [
      'ConvTranspose with output_shape',
      convolution('ConvTranspose', '1, 3, 5, 4', '3, 4, 4, 4', 'strides=[2, 2], output_shape=[10, 9]'),
    ],
    [
      'ConvTranspose with SAME_UPPER',
      convolution('ConvTranspose', '1, 3, 5, 4', '3, 4, 4, 3', 'strides=[2, 2], auto_pad="SAME_UPPER"'),
    ],
    ['one-dimensional ConvTranspose', convolution('ConvTranspose', '2, 3, 9', '3, 4, 5', 'strides=[3], pads=[2, 1]')],
  ])('%s', async (_, program) => {
    const { measured, predicted } = await energies(program);
    expect(measured).toBeGreaterThan(0);
    expect(Math.abs(predicted - measured) / measured).toBeLessThan(1e-5);
  });
});

describe('declaring second moments', () => {
  test('they have the same bits for any number of threads', async () => {
    const program = convolution('Conv', '2, 6, 16, 16', '8, 3, 3, 3', 'group=2, pads=[1, 1, 1, 1]');
    const [site] = findSites(program);
    const before = threadCount();
    const bits: Uint8Array[][] = [];
    try {
      for (const threads of [1, 2, 3]) {
        setThreads(threads);
        const { observations, gramsOf } = siteGrams([site!]);
        await gather(program, observations);
        bits.push(gramsOf(site!)!.map((gram) => gram.toBytes()));
      }
    } finally {
      setThreads(before);
    }
    expect(bits[1]).toEqual(bits[0]);
    expect(bits[2]).toEqual(bits[0]);
  });

  test('sites that read the same input share them', () => {
    const program = graph(
      '1, 8',
      ['a', 'b'].map((name) => `${name}: float32[8, 8] = random(seed=1)`).join('\n') +
        '\np = MatMul(x, a)\nq = MatMul(x, b)\ny = Add(p, q)',
    );
    const sites = findSites(program);
    const { observations, gramsOf } = siteGrams(sites);
    expect(observations).toHaveLength(1);
    expect(gramsOf(sites[0]!)).toBe(gramsOf(sites[1]!));
  });

  test('convolutions of one input with other strides do not', () => {
    const program = graph(
      '1, 2, 8, 8',
      'a: float32[4, 2, 3, 3] = random(seed=1)\np = Conv(x, a, strides=[2, 2])\nq = Conv(x, a, pads=[1, 1, 1, 1], strides=[1, 1])\nr = GlobalAveragePool(p)\ns = GlobalAveragePool(q)\ny = Add(r, s)',
    );
    expect(siteGrams(findSites(program)).observations).toHaveLength(2);
  });

  test('lookups and branch bodies are left out with a reason, states of a recurrent layer are not', () => {
    const lookup = parseProgram(
      'program opset=21\ngraph main(i: int64[4]) -> (y) {\nw: float32[8, 4] = random(seed=1)\ny = Gather(w, i)\n}',
    );
    const [embedding] = findSites(lookup);
    expect(gramObstacle(embedding!)).toMatch(/lookup/);
    const recurrent = graph(
      '3, 1, 4',
      'w: float32[1, 16, 4] = random(seed=1)\nr: float32[1, 16, 4] = random(seed=2)\ny = LSTM(x, w, r, hidden_size=4)',
    );
    expect(findSites(recurrent).map((site) => gramObstacle(site))).toEqual([undefined, undefined]);
    expect(siteGrams(findSites(lookup)).observations).toEqual([]);
  });
});
