import { describe, expect, test } from 'vitest';
import { CompressError } from '../../../../src/errors.ts';
import { Random } from '../../../../src/random.ts';
import { codeOf, codeRanges, endsOf, gridOf, numberOf } from '../../../../src/stages/quantize/activations/grid.ts';

const types = ['uint8', 'int8'] as const;
const placements = ['asymmetric', 'symmetric'] as const;
const cases = types.flatMap((type) => placements.map((placement) => ({ type, placement })));

describe.each(cases)('a $placement $type grid', ({ type, placement }) => {
  const random = new Random(7, `${type} ${placement}`);

  test('has zero on it, whatever the range', () => {
    for (let round = 0; round < 200; round++) {
      const [a, b] = [random.normal() * 10 ** random.integer(6), random.normal()];
      const grid = gridOf({ low: Math.min(a, b), high: Math.max(a, b) }, codeRanges[type], placement);
      expect(numberOf(codeOf(0, grid), grid)).toBe(0);
      expect(grid.zeroPoint).toBeGreaterThanOrEqual(grid.lowest);
      expect(grid.zeroPoint).toBeLessThanOrEqual(grid.highest);
    }
  });

  test('brings every value inside its ends back within half a step', () => {
    for (let round = 0; round < 50; round++) {
      const range = { low: -Math.abs(random.normal()) * 3, high: Math.abs(random.normal()) * 3 };
      const grid = gridOf(range, codeRanges[type], placement);
      const ends = endsOf(grid);
      for (let sample = 0; sample < 50; sample++) {
        const value = ends.low + random.float() * (ends.high - ends.low);
        expect(Math.abs(numberOf(codeOf(value, grid), grid) - value)).toBeLessThanOrEqual(grid.scale * 0.50001);
      }
    }
  });

  test('keeps values that lie on it', () => {
    const grid = gridOf({ low: -1.25, high: 2.5 }, codeRanges[type], placement);
    for (let code = grid.lowest; code <= grid.highest; code++) expect(codeOf(numberOf(code, grid), grid)).toBe(code);
  });

  test('clamps what lies beyond', () => {
    const grid = gridOf({ low: -1, high: 1 }, codeRanges[type], placement);
    expect(codeOf(1e9, grid)).toBe(grid.highest);
    expect(codeOf(-1e9, grid)).toBe(grid.lowest);
  });

  test('of zeros alone has the scale 1', () => {
    expect(gridOf({ low: 0, high: 0 }, codeRanges[type], placement).scale).toBe(1);
  });

  test('of a range too small for float32 has a scale that is no zero', () => {
    const grid = gridOf({ low: 0, high: 1e-44 }, codeRanges[type], placement);
    expect(grid.scale).toBe(2 ** -126);
  });
});

test('a range that starts at zero puts zero at the lowest code, so that clamping does what Relu does', () => {
  expect(gridOf({ low: 0, high: 5 }, codeRanges.uint8, 'asymmetric').zeroPoint).toBe(0);
  expect(gridOf({ low: 0.2, high: 5 }, codeRanges.int8, 'asymmetric').zeroPoint).toBe(-128);
});

test('scales are float32 numbers', () => {
  const { scale } = gridOf({ low: -0.1, high: 0.7 }, codeRanges.uint8, 'asymmetric');
  expect(Math.fround(scale)).toBe(scale);
});

test.each([
  [Number.NaN, 1],
  [0, Number.POSITIVE_INFINITY],
])('a range from %s to %s is refused', (low, high) => {
  expect(() => gridOf({ low, high }, codeRanges.uint8, 'asymmetric')).toThrow(CompressError);
});
