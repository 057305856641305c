import { describe, expect, test } from 'vitest';
import { Random } from '../../../../src/random.ts';
import { Histogram } from '../../../../src/stages/quantize/activations/ranges/histogram.ts';
import { rangeMethodNames, rangeMethods } from '../../../../src/stages/quantize/activations/ranges/table.ts';

const purpose = { levels: 256, symmetric: false, percentile: 99.9 };
const values = new Random(11).normals(20000, 0.7);

const rangeOf = (method: (typeof rangeMethodNames)[number], batches: readonly Float32Array[], changes = {}) => {
  const observer = rangeMethods[method].observer({ ...purpose, ...changes });
  for (const batch of batches) observer.observe(batch);
  return observer.range();
};

const cut = (array: Float32Array, size: number): Float32Array[] =>
  Array.from({ length: Math.ceil(array.length / size) }, (_, index) =>
    array.subarray(index * size, (index + 1) * size),
  );

/** Mean square error of clamping and rounding to 255 even steps. */
const errorOf = (array: Float32Array, range: { low: number; high: number }): number => {
  const step = (range.high - range.low) / 255;
  return (
    array.reduce((sum, value) => {
      const clamped = Math.min(Math.max(value, range.low), range.high);
      return sum + (value - Math.round(clamped / step) * step) ** 2;
    }, 0) / array.length
  );
};

describe.each(rangeMethodNames)('the range method %s', (method) => {
  test('does not depend on how the values are cut into batches', () => {
    expect(rangeOf(method, cut(values, 37))).toEqual(rangeOf(method, [values]));
  });

  test('stays within the extremes', () => {
    const range = rangeOf(method, [values])!;
    expect(range.low).toBeGreaterThanOrEqual(Math.min(...values));
    expect(range.high).toBeLessThanOrEqual(Math.max(...values));
    expect(range.low).toBeLessThan(range.high);
  });

  test('knows nothing before the first value, and takes empty arrays for what they are', () => {
    expect(rangeOf(method, [])).toBeUndefined();
    expect(rangeOf(method, [new Float32Array(0)])).toBeUndefined();
  });

  test('takes constant zeros', () => {
    const { low, high } = rangeOf(method, [new Float32Array(10)])!;
    expect([low + 0, high + 0]).toEqual([0, 0]);
  });

  test('gives what a Relu makes a range that begins at zero', () => {
    const { low, high } = rangeOf(method, [values.map((value) => Math.max(value, 0))])!;
    expect(low + 0).toBe(0);
    expect(high).toBeGreaterThan(1);
  });
});

test('minmax finds the extremes', () => {
  expect(rangeOf('minmax', cut(values, 100))).toEqual({ low: Math.min(...values), high: Math.max(...values) });
});

test('percentile leaves its share outside', () => {
  const { low, high } = rangeOf('percentile', [values], { percentile: 99 })!;
  const outside = values.filter((value) => value < low || value > high).length / values.length;
  expect(outside).toBeGreaterThan(0.007);
  expect(outside).toBeLessThan(0.013);
});

test('mse errs less than the extremes where a few values lie far out', () => {
  const spiky = Float32Array.from(values);
  spiky[5] = 40;
  spiky[6] = -25;
  const extremes = rangeOf('minmax', [spiky])!;
  const chosen = rangeOf('mse', [spiky])!;
  const inner = spiky.filter((value) => Math.abs(value) < 5);
  expect(chosen.high).toBeLessThan(extremes.high);
  expect(errorOf(inner, chosen)).toBeLessThan(errorOf(inner, extremes));
  expect(errorOf(spiky, chosen)).toBeLessThanOrEqual(errorOf(spiky, extremes));
});

describe('a histogram', () => {
  test('counts every value once while its reach grows', () => {
    const histogram = new Histogram();
    histogram.add(Float32Array.of(1e-6, -1e-6, 0));
    histogram.add(Float32Array.of(0.5, -3, 1e6));
    expect([...histogram.bins()].reduce((sum, bin) => sum + bin.count, 0)).toBe(6);
    expect(histogram.extremes).toEqual({ low: -3, high: 1e6 });
  });

  test('has the median of evenly spread values in the middle', () => {
    const histogram = new Histogram();
    histogram.add(Float32Array.from({ length: 10001 }, (_, index) => index / 10000));
    expect(histogram.quantile(0.5)).toBeCloseTo(0.5, 3);
    expect(histogram.quantile(0)).toBe(0);
    expect(histogram.quantile(1)).toBe(1);
  });
});

test('entropy leaves a far outlier outside and keeps what is spread evenly', () => {
  const outlier = Float32Array.of(...values, 40);
  expect(rangeOf('entropy', [outlier])!.high).toBeLessThan(20);
  const even = Float32Array.from({ length: 20000 }, (_, index) => index / 10000 - 1);
  const { low, high } = rangeOf('entropy', [even])!;
  expect(low).toBeLessThan(-0.95);
  expect(high).toBeGreaterThan(0.95);
});
