import { describe, expect, it } from 'vitest';
import { learningRateAt, scheduleNames } from '../../src/training/schedules.ts';

describe.each(scheduleNames)('the %s schedule', (name) => {
  const schedule = { name, peak: 0.5, warmup: 10, steps: 110 };
  const rates = Array.from({ length: 110 }, (_, index) => learningRateAt(schedule, index + 1));

  it('grows evenly to its peak, which the first step after the warm-up has', () => {
    expect(rates[10]).toBe(0.5);
    for (let step = 1; step <= 10; step++) expect(rates[step - 1]).toBeCloseTo((0.5 * step) / 11, 12);
  });

  it('never grows again and ends at the peak or a hundredth of it', () => {
    for (let step = 12; step < 110; step++) expect(rates[step]).toBeLessThanOrEqual(rates[step - 1]!);
    expect(rates.at(-1)).toBeCloseTo(name === 'constant' ? 0.5 : 0.005, 12);
  });
});

describe('a cosine', () => {
  it('is half way down in the middle', () => {
    expect(learningRateAt({ name: 'cosine', peak: 1, warmup: 0, steps: 101 }, 51)).toBeCloseTo(0.505, 12);
  });
});
