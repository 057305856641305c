import { describe, expect, test } from 'vitest';
import { Random } from '../../../src/random.ts';
import { type ExitReading, exitFront, expectedLosses, outcomeOf } from '../../../src/stages/exits/thresholds.ts';

const random = new Random(2, 'readings');
const reading = (): ExitReading => {
  const confidence = random.float();
  return { confidence, loss: (1 - confidence) * 2 * random.float(), agreement: random.float() < confidence ? 1 : 0 };
};
const readings = [0, 1].map(() => Array.from({ length: 60 }, reading));
const costs = { exits: [30, 60], whole: 100 };

describe('the loss that is expected of a confidence', () => {
  const levels = expectedLosses(readings[0]!);

  test('falls as confidence rises', () => {
    for (let at = 1; at < levels.length; at++) {
      expect(levels[at]!.confidence).toBeGreaterThan(levels[at - 1]!.confidence);
      expect(levels[at]!.loss).toBeLessThan(levels[at - 1]!.loss);
    }
  });

  test('keeps the mean of the readings', () => {
    const predicted = readings[0]!.map(
      ({ confidence }) => levels.findLast((level) => level.confidence <= confidence)!.loss,
    );
    const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
    expect(mean(predicted)).toBeCloseTo(mean(readings[0]!.map(({ loss }) => loss)), 10);
  });

  test('readings of one confidence are one level', () => {
    expect(expectedLosses([1, 2, 3].map((loss) => ({ confidence: 0.5, loss })))).toEqual([
      { confidence: 0.5, loss: 2 },
    ]);
  });
});

describe('outcomes', () => {
  test('without an exit every sample costs the whole model and nothing is lost', () => {
    expect(outcomeOf(readings, [2, 2], costs)).toMatchObject({ operations: 100, loss: 0, agreement: 1 });
  });

  test('a threshold of zero lets all leave at the first exit', () => {
    const { operations, shares } = outcomeOf(readings, [0, 0], costs);
    expect(operations).toBe(30);
    expect(shares).toEqual([1, 0]);
  });

  test('along the price of leaving operations only fall, from the whole model to the first exit', () => {
    const front = exitFront(readings, costs);
    expect(front[0]!.operations).toBe(100);
    expect(front.at(-1)!.operations).toBe(30);
    for (let at = 1; at < front.length; at++)
      expect(front[at]!.operations).toBeLessThanOrEqual(front[at - 1]!.operations);
  });
});
