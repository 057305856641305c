import { describe, expect, test } from 'vitest';
import type { MetricResult } from '../../src/recipe/events.ts';
import { formatChange, formatDuration, formatNumber, formatResult } from '../../src/report/numbers.ts';
import { RateMeter } from '../../src/reporters/rate.ts';
import { formatTable } from '../../src/reporters/table.ts';

const result = (value: number, unit?: string, interval?: number): MetricResult => ({
  metric: 'm',
  dataset: 'd',
  value,
  count: 1,
  ...(unit === undefined ? {} : { unit }),
  ...(interval === undefined ? {} : { interval }),
});

describe('numbers for people', () => {
  test('keep five digits', () => {
    expect([5.632784, 0.0912345, 1e-7, 0, 123456, Number.NaN].map((value) => formatNumber(value))).toEqual([
      '5.6328',
      '0.091234',
      '1.000e-7',
      '0',
      '123460',
      'NaN',
    ]);
  });

  test('show intervals and units', () => {
    expect(formatResult(result(5.632784, undefined, 0.0912))).toBe('5.6328 ±0.091');
    expect(formatResult(result(0.612, 'fraction', 0.03))).toBe('61.20 ±3.00 %');
    expect(formatResult(result(1_044_992, 'bytes'))).toBe('1.04 MB');
    expect(formatResult(result(21.94, 'dB'))).toBe('21.940 dB');
  });

  test('changes are ratios for sizes, points for fractions, percents otherwise', () => {
    expect(formatChange(result(100, 'bytes'), result(26, 'bytes'))).toBe('0.26×');
    expect(formatChange(result(0.612, 'fraction'), result(0.6, 'fraction'))).toBe('−1.20 points');
    expect(formatChange(result(5), result(5.1))).toBe('+2.00 %');
    expect(formatChange(result(0), result(5.1))).toBe('');
  });

  test('durations', () => {
    expect([0, 61_000, 3_723_000].map(formatDuration)).toEqual(['0:00', '1:01', '1:02:03']);
  });
});

describe('the rate of a task', () => {
  test('is measured over what was done lately', () => {
    const meter = new RateMeter();
    expect(meter.update(0, 0, 100)).toEqual({ perSecond: undefined, remainingMs: undefined });
    expect(meter.update(10_000, 10, 100)).toEqual({ perSecond: 1, remainingMs: 90_000 });
    for (let second = 11; second <= 40; second++) meter.update(second * 1000, 10 + (second - 10) * 2, 100);
    expect(meter.update(41_000, 72, 100).perSecond).toBeCloseTo(2, 5);
  });
});

describe('tables', () => {
  test('align columns; colours take no room', () => {
    const text = formatTable(
      [{ title: 'name' }, { title: 'bytes', align: 'right' }],
      [
        ['a', '1'],
        ['\u001b[31mlonger\u001b[39m', '1000'],
      ],
    );
    expect(text.split('\n')).toEqual([
      'name    bytes',
      '──────  ─────',
      'a           1',
      '\u001b[31mlonger\u001b[39m   1000',
    ]);
  });
});
