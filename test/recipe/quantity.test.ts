import { describe, expect, test } from 'vitest';
import { formatBytes, parseBytes, parseShare } from '../../src/recipe/quantity.ts';

describe('sizes', () => {
  test.each([
    ['2GiB', 2 ** 31],
    ['500 kB', 500_000],
    ['1e9', 1e9],
    ['1.5 MiB', 1.5 * 2 ** 20],
    [1024, 1024],
    ['7', 7],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  test.each(['-1', 'GiB', '2 parsecs', '', '1e400', -5, Number.NaN, '1e16'])('%s is no size', (text) => {
    expect(parseBytes(text)).toBeUndefined();
  });

  test('are shown with three digits in decimal units', () => {
    expect([0, 999, 1000, 1_044_992, 99_950_000, 999_600_000].map(formatBytes)).toEqual([
      '0 B',
      '999 B',
      '1.00 kB',
      '1.04 MB',
      '100 MB',
      '1.00 GB',
    ]);
  });
});

describe('shares', () => {
  test('percentages are relative, numbers absolute', () => {
    expect(parseShare('2%')).toEqual({ kind: 'relative', value: 0.02 });
    expect(parseShare('2.5 %')).toEqual({ kind: 'relative', value: 0.025 });
    expect(parseShare(0.5)).toEqual({ kind: 'absolute', value: 0.5 });
    expect(parseShare('two')).toBeUndefined();
    expect(parseShare(-1)).toBeUndefined();
  });
});
