import { describe, expect, test } from 'vitest';
import { SampledMean } from '../../src/metrics/mean.ts';
import { Random } from '../../src/random.ts';

describe('means over samples', () => {
  test('weigh items, not samples', () => {
    const mean = new SampledMean();
    mean.add(10, 1);
    mean.add(0, 9);
    mean.add(0, 0);
    expect(mean.mean).toBe(1);
    expect(mean.count).toBe(10);
  });

  test('have the usual interval when every sample has one item, and none for a single sample', () => {
    const mean = new SampledMean();
    mean.add(1, 1);
    expect(mean.interval).toBeUndefined();
    for (const value of [2, 3, 6]) mean.add(value, 1);
    const deviation = Math.sqrt(((1 - 3) ** 2 + (2 - 3) ** 2 + 0 + (6 - 3) ** 2) / 3);
    expect(mean.interval).toBeCloseTo((1.959964 * deviation) / 2, 12);
  });

  test('lie within the interval of the truth nineteen times of twenty, though items of a sample depend on each other', () => {
    const random = new Random(4, 'coverage');
    let inside = 0;
    const trials = 1000;
    for (let trial = 0; trial < trials; trial++) {
      const mean = new SampledMean();
      for (let sample = 0; sample < 60; sample++) {
        const count = 1 + random.integer(20);
        const shared = random.normal();
        let sum = 0;
        for (let item = 0; item < count; item++) sum += shared + random.normal();
        mean.add(sum, count);
      }
      if (Math.abs(mean.mean) <= mean.interval!) inside++;
    }
    expect(inside / trials).toBeGreaterThan(0.92);
    expect(inside / trials).toBeLessThan(0.97);
  });
});
