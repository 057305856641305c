import { describe, expect, it } from 'vitest';
import { encodeProgram } from '../../../../../src/artifact/formats/onnx/write.ts';
import { parseProgram } from '../../../../../src/ir/text/parse.ts';
import { nodesWithin } from '../../../../../src/ir/walk.ts';
import { Random } from '../../../../../src/random.ts';
import { quantizeDynamic } from '../../../../../src/stages/quantize/activations/dynamic.ts';
import { divisorsOf } from '../../../../../src/stages/quantize/activations/smooth/divisors.ts';
import type { InputRounding } from '../../../../../src/stages/quantize/activations/smooth/input-rounding.ts';
import { InputSample } from '../../../../../src/stages/quantize/activations/smooth/input-sample.ts';
import { divisorsAt, searchDivisors } from '../../../../../src/stages/quantize/activations/smooth/search.ts';
import { quantizeStatic } from '../../../../../src/stages/quantize/activations/static.ts';
import { contextOf, datasetOf, dynamicOptions, modelOf, relativeDifference, staticOptions } from '../workbench.ts';

const channels = 12;
const free = Int32Array.from({ length: channels }, (_, channel) => channel + 1);

/** Channels of very different size. */
const unevenRows = (rows: number, seed: number): Float32Array =>
  new Random(seed).normals(rows * channels).map((value, index) => value * 4 ** (index % 4));

const problemOf = (input: InputRounding) => {
  const sample = new InputSample(channels, 32, 0);
  for (let run = 0; run < 4; run++)
    sample.observe({ dtype: 'float32', shape: [20, channels], data: unevenRows(20, run + 1) }, run);
  return {
    sample,
    weights: [{ name: 'w', matrix: new Random(7).normals(6 * channels), rows: 6 }],
    input,
    limit: 127,
    granularity: 'channel',
    signal: new AbortController().signal,
  } as const;
};

const roundings: readonly InputRounding[] = [
  { kind: 'static', type: 'uint8', symmetric: false },
  { kind: 'static', type: 'int8', symmetric: true },
  { kind: 'run' },
  { kind: 'row' },
];

describe('divisors', () => {
  const sizes = {
    inputs: Float32Array.from({ length: channels }, (_, channel) => 2 ** channel),
    weights: Float32Array.from({ length: channels }, (_, channel) => 1 + channel),
    classes: free,
  };

  it('are ones at strength zero', () => {
    for (const rule of ['input', 'ratio'] as const)
      expect([...divisorsOf(sizes, rule, 0)]).toEqual(Array(channels).fill(1));
  });

  it('make all channels equally large at full strength', () => {
    const divided = sizes.inputs.map((size, channel) => size / divisorsOf(sizes, 'input', 1)[channel]!);
    for (const size of divided) expect(size / divided[0]!).toBeCloseTo(1, 5);
  });

  it('are those of SmoothQuant at one half, but for a common factor', () => {
    const divisors = divisorsOf(sizes, 'ratio', 0.5);
    const published = sizes.inputs.map((size, channel) => Math.sqrt(size) / Math.sqrt(sizes.weights[channel]!));
    for (const [channel, divisor] of divisors.entries())
      expect(divisor / divisors[0]!).toBeCloseTo(published[channel]! / published[0]!, 3);
  });

  it('are one for dead channels in the middle, and where a class must stay', () => {
    const dead = { ...sizes, inputs: sizes.inputs.map((size, channel) => (channel === 3 ? 0 : size)) };
    expect(divisorsOf(dead, 'input', 1)[3]).toBe(1);
    const fixed = { ...sizes, classes: free.map((id) => (id === 2 ? 0 : id)) };
    expect(divisorsOf(fixed, 'ratio', 1)[1]).toBe(1);
  });

  it('are equal within a class', () => {
    const divisors = divisorsOf({ ...sizes, classes: free.map((id) => 1 + ((id - 1) % 3)) }, 'input', 1);
    expect(new Set(divisors).size).toBe(3);
  });
});

describe('the search for a strength', () => {
  it.each(roundings)('never makes outputs worse than they were ($kind)', async (input) => {
    const found = await searchDivisors(problemOf(input), free);
    expect(found.errorAfter).toBeLessThanOrEqual(found.errorBefore);
  });

  it('wins more than half of the error back where channels differ and share a scale', async () => {
    const found = await searchDivisors(problemOf({ kind: 'static', type: 'uint8', symmetric: false }), free);
    expect(found.strength).toBeGreaterThan(0);
    expect(found.errorAfter).toBeLessThan(found.errorBefore / 2);
  });

  it('is at least as good as the published strength', async () => {
    const problem = problemOf({ kind: 'run' });
    const [found, published] = [await searchDivisors(problem, free), await divisorsAt(problem, free, 0.5)];
    expect(found.errorAfter).toBeLessThanOrEqual(published.errorAfter);
  });
});

describe('weights', () => {
  it('are rounded by the method that is asked for, and closer to what they were for', async () => {
    const context = contextOf(datasetOf(samples));
    const by = async (method: 'rtn' | 'gptq') =>
      (await quantizeDynamic(modelOf(program), dynamicOptions({ method, leastSnrDb: 0 }), context)).model.program;
    const [nearest, repaired] = [await by('rtn'), await by('gptq')];
    expect(opsOf(repaired)).toEqual(opsOf(nearest));
    expect(encodeProgram(repaired)).not.toEqual(encodeProgram(nearest));
    expect(await relativeDifference(program, repaired, samples[5]!)).toBeLessThan(0.02);
  });
});

describe('the sample of an input', () => {
  it('keeps rows that were seen, evenly many, and each run’s largest one', () => {
    const sample = new InputSample(2, 4, 0);
    for (let run = 0; run < 3; run++) {
      const data = Float32Array.from({ length: 20 }, (_, index) => run * 100 + index);
      sample.observe({ dtype: 'float32', shape: [10, 2], data }, run);
    }
    expect(sample.drawn).toBe(4);
    expect(sample.count).toBe(7);
    const rows = [...sample.rows];
    expect(rows.slice(8)).toEqual([18, 19, 118, 119, 218, 219]);
    for (let at = 0; at < 8; at += 2) expect(rows[at + 1]! - rows[at]!).toBe(1);
    expect([...sample.runOf].slice(4)).toEqual([0, 1, 2]);
    expect([...sample.extremes.high]).toEqual([218, 219]);
  });
});

const program = parseProgram(`program opset=18
graph main(x: float32[4, ${channels}]) -> (y) {
 g: float32[${channels}] = random(seed=1)
 n = Mul(x, g)
 u: float32[${channels}, 16] = random(seed=2)
 h = MatMul(n, u)
 r = Relu(h)
 d: float32[16, 5] = random(seed=3)
 y = MatMul(r, d)
}`);

const samples = Array.from({ length: 6 }, (_, index) => ({
  x: { dtype: 'float32' as const, shape: [4, channels], data: unevenRows(4, 20 + index) },
}));

const opsOf = (quantized: typeof program): string[] => [...nodesWithin(quantized.graph)].map(({ op }) => op);

describe('smoothing', () => {
  const context = contextOf(datasetOf(samples));
  const errorOf = async (quantized: typeof program): Promise<number> =>
    relativeDifference(program, quantized, samples[5]!);

  it('lowers the error of static quantization without another operator', async () => {
    const plain = await quantizeStatic(modelOf(program), staticOptions({ smooth: 'none' }), context);
    const smooth = await quantizeStatic(modelOf(program), staticOptions({ smooth: 'auto' }), context);
    expect(opsOf(smooth.model.program)).toEqual(opsOf(plain.model.program));
    expect(await errorOf(smooth.model.program)).toBeLessThan(await errorOf(plain.model.program));
    expect(smooth.findings.map(({ text }) => text).join()).toMatch(/smoothed \d of 2 inputs .* folded, 0 divided/);
  });

  it('lowers the error of dynamic quantization, and gives the same bytes again', async () => {
    const options = dynamicOptions({ perToken: false, leastSnrDb: 0 });
    const plain = await quantizeDynamic(modelOf(program), { ...options, smooth: 'none' }, context);
    const smooth = await quantizeDynamic(modelOf(program), { ...options, smooth: 'auto' }, context);
    expect(await errorOf(smooth.model.program)).toBeLessThan(await errorOf(plain.model.program));
    const again = await quantizeDynamic(modelOf(program), { ...options, smooth: 'auto' }, context);
    expect(encodeProgram(again.model.program)).toEqual(encodeProgram(smooth.model.program));
  });

  it('changes nothing at strength zero', async () => {
    const plain = await quantizeStatic(modelOf(program), staticOptions({ smooth: 'none' }), context);
    const zero = await quantizeStatic(modelOf(program), staticOptions({ smooth: 0 }), context);
    expect(encodeProgram(zero.model.program)).toEqual(encodeProgram(plain.model.program));
  });

  it('by default needs no calibration data in dynamic quantization', async () => {
    const { findings } = await quantizeDynamic(modelOf(program), dynamicOptions(), contextOf(undefined));
    expect(findings).toEqual([]);
  });

  it('at a given strength needs calibration data', async () => {
    await expect(
      quantizeDynamic(modelOf(program), dynamicOptions({ smooth: 0.5 }), contextOf(undefined)),
    ).rejects.toThrow(/smoothing needs calibration data/);
  });
});
