import { describe, expect, it } from 'vitest';
import { findSites } from '../../../../../src/analysis/sites.ts';
import type { NumericArray } from '../../../../../src/calibration/dataset.ts';
import { cloneProgram } from '../../../../../src/ir/clone.ts';
import { setConstant } from '../../../../../src/ir/edit/replace.ts';
import type { Program } from '../../../../../src/ir/graph.ts';
import { floatTensor } from '../../../../../src/ir/read.ts';
import { parseProgram } from '../../../../../src/ir/text/parse.ts';
import { correctBiases } from '../../../../../src/stages/quantize/activations/bias/correct.ts';
import { channelView, decodeWeight } from '../../../../../src/stages/quantize/activations/weight-codes.ts';
import { encodeSite } from '../../../../../src/stages/quantize/activations/weight-store.ts';
import { runProgram } from '../../../../artifact/lower/run.ts';
import { contextOf, datasetOf, normalSamples } from '../workbench.ts';

/** Coarse codes: rounding moves the outputs a lot. */
const request = { limit: 3, granularity: 'channel', dtype: 'int8', arrangement: 'plain' } as const;

const cases = [
  {
    name: 'a convolution with borders, and positive inputs',
    input: [1, 3, 6, 6],
    body: 'w: float32[5, 3, 3, 3] = random(seed=1)\n b: float32[5] = random(seed=2)\n y = Conv(p, w, b, pads=[1, 1, 1, 1])',
    rows: 5,
  },
  {
    name: 'a grouped convolution without a bias',
    input: [1, 4, 6, 6],
    body: 'w: float32[4, 2, 3, 3] = random(seed=1)\n y = Conv(p, w, group=2)',
    rows: 4,
  },
  {
    name: 'a Gemm with a transposed weight',
    input: [7, 6],
    body: 'w: float32[5, 6] = random(seed=1)\n b: float32[5] = random(seed=2)\n y = Gemm(p, w, b, transB=1)',
    rows: 5,
  },
];

/** Mean of each channel (axis 1) of the output over samples. */
const meansOf = async (program: Program, samples: readonly Record<string, NumericArray>[], rows: number) => {
  const sums = new Float64Array(rows);
  let positions = 0;
  for (const sample of samples) {
    const { data, shape } = (await runProgram(program, sample)).get('y')!;
    const inner = shape.slice(2).reduce((size, dim) => size * dim, 1);
    (data as Float32Array).forEach((value, index) => {
      sums[Math.floor(index / inner) % rows]! += value;
    });
    positions += data.length / rows;
  }
  return sums.map((sum) => sum / positions);
};

/** The program with its weight rounded. */
const rounded = (program: Program): Program => {
  const copy = cloneProgram(program);
  const [site] = findSites(copy);
  const { shape } = site!.weight.tensor!;
  const view = channelView(shape, 0);
  setConstant(
    site!.weight,
    floatTensor(shape, decodeWeight(encodeSite(site!, { ...request, home: copy.graph }), view)),
  );
  return copy;
};

describe('after bias correction, rounding leaves the mean of every output channel where it was', () => {
  it.each(cases)('$name', async ({ input, body, rows }) => {
    const program = parseProgram(
      `program opset=17\ngraph main(x: float32[${input.join(', ')}]) -> (y) {\n p = Abs(x)\n ${body}\n}`,
    );
    const samples = normalSamples('x', input, 5);
    const before = await meansOf(program, samples, rows);
    const plain = await meansOf(rounded(program), samples, rows);
    const corrected = cloneProgram(program);
    await correctBiases(corrected, findSites(corrected), request, contextOf(datasetOf(samples)));
    const after = await meansOf(rounded(corrected), samples, rows);
    const distance = (means: Float64Array): number =>
      Math.max(...means.map((mean, row) => Math.abs(mean - before[row]!)));
    expect(distance(plain)).toBeGreaterThan(0.01);
    expect(distance(after)).toBeLessThan(1e-4);
  });

  it('needs calibration data', async () => {
    const program = parseProgram(
      'program opset=17\ngraph main(x: float32[7, 6]) -> (y) {\n w: float32[6, 5] = random(seed=1)\n y = Gemm(x, w)\n}',
    );
    await expect(correctBiases(program, findSites(program), request, contextOf(undefined))).rejects.toThrow(
      /bias correction needs calibration data/,
    );
  });
});
