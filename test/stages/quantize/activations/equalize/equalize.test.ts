import { describe, expect, it } from 'vitest';
import { readSiteMatrix } from '../../../../../src/analysis/site-weights.ts';
import { findSites } from '../../../../../src/analysis/sites.ts';
import { cloneProgram } from '../../../../../src/ir/clone.ts';
import type { Program } from '../../../../../src/ir/graph.ts';
import { inferShapes } from '../../../../../src/ir/inference/index.ts';
import { floatTensor } from '../../../../../src/ir/read.ts';
import { parseProgram } from '../../../../../src/ir/text/parse.ts';
import { equalizeProgram } from '../../../../../src/stages/quantize/activations/equalize/run.ts';
import { quantizeStatic } from '../../../../../src/stages/quantize/activations/static.ts';
import { normalArray } from '../../../../artifact/lower/run.ts';
import { contextOf, datasetOf, modelOf, normalSamples, relativeDifference, staticOptions } from '../workbench.ts';

const spread = Array.from({ length: 6 }, (_, channel) => `[[[${(0.02 * 3 ** channel).toFixed(4)}]]]`).join(', ');

/** Two convolutions whose channels between them differ two hundredfold. */
const chain = (between: string): Program => {
  const program = parseProgram(`program opset=17
graph main(x: float32[1, 4, 8, 8]) -> (y) {
 base: float32[6, 4, 3, 3] = random(seed=1)
 spread: float32[6, 1, 1, 1] = [${spread}]
 u = Mul(base, spread)
 b: float32[6] = random(seed=2)
 c = Conv(x, u, b, pads=[1, 1, 1, 1]) { name: "first" }
 ${between}
 w: float32[5, 6, 1, 1] = random(seed=3)
 y = Conv(r, w) { name: "second" }
}`);
  return program;
};

const folded = (program: Program): Program => {
  const copy = cloneProgram(program);
  inferShapes(copy);
  const [scaled] = copy.graph.nodes;
  const [base, factors] = [scaled!.inputs[0]!, scaled!.inputs[1]!].map(({ tensor }) => tensor!);
  const numbers = Float32Array.from(new Float32Array(base!.bytes().slice().buffer), (value, index) => {
    const factor = new Float32Array(factors!.bytes().slice().buffer)[Math.floor(index / 36)]!;
    return value * factor;
  });
  const made = copy.graph.addInitializer('u_folded', floatTensor([6, 4, 3, 3], numbers));
  for (const { node, index } of scaled!.outputs[0]!.uses) node.setInput(index, made);
  copy.graph.remove(scaled!);
  return copy;
};

const feeds = { x: normalArray([1, 4, 8, 8], 5) };
const largest = (numbers: Float32Array): number => numbers.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

describe('cross-layer equalisation', () => {
  const plain = folded(chain('r = Relu(c)'));

  it('leaves outputs as they are through a Relu', async () => {
    const copy = cloneProgram(plain);
    expect(equalizeProgram(copy, findSites(copy))[0]!.text).toMatch(/of 1 values/);
    expect(await relativeDifference(plain, copy, feeds)).toBeLessThan(1e-5);
  });

  it('gives the rows and the columns of each channel equal ranges', () => {
    const copy = cloneProgram(plain);
    equalizeProgram(copy, findSites(copy));
    const [first, second] = findSites(copy).map(readSiteMatrix);
    for (let channel = 0; channel < 6; channel++) {
      const row = largest(first!.subarray(channel * 36, (channel + 1) * 36));
      const column = largest(second!.filter((_, index) => index % 6 === channel));
      expect(row / column).toBeCloseTo(1, 1);
    }
  });

  it('does nothing where a bounded activation is between', async () => {
    const bounded = folded(chain('low: float32[] = 0\n high: float32[] = 6\n r = Clip(c, low, high)'));
    const copy = cloneProgram(bounded);
    expect(equalizeProgram(copy, findSites(copy))[0]!.text).toMatch(/of 0 values/);
    expect(await relativeDifference(bounded, copy, feeds)).toBeLessThan(1e-6);
  });

  it('lowers the error of weights with one scale for all channels', async () => {
    const context = contextOf(datasetOf(normalSamples('x', [1, 4, 8, 8])));
    const errorOf = async (equalize: boolean): Promise<number> => {
      const options = staticOptions({ granularity: 'tensor', equalize });
      const { model } = await quantizeStatic(modelOf(plain), options, context);
      return relativeDifference(plain, model.program, feeds);
    };
    expect(await errorOf(true)).toBeLessThan(await errorOf(false));
  });
});
