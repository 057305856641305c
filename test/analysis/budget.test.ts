import { describe, expect, it } from 'vitest';
import { allocate, allocateForLoss, allocationFront } from '../../src/analysis/budget/allocate.ts';
import type { BudgetChoice } from '../../src/analysis/budget/choice.ts';
import { Random } from '../../src/random.ts';

const randomChoices = (random: Random, count: number, options: number): BudgetChoice[] =>
  Array.from({ length: count }, (_, index) => ({
    name: `site ${index}`,
    options: Array.from({ length: options }, () => ({ cost: 1 + random.integer(50), loss: random.float() })),
  }));

/** Every combination of options, tried one by one. */
const bruteForce = (choices: readonly BudgetChoice[], budget: number): number => {
  let best = Number.POSITIVE_INFINITY;
  const visit = (index: number, cost: number, loss: number): void => {
    if (cost > budget) return;
    if (index === choices.length) {
      best = Math.min(best, loss);
      return;
    }
    for (const option of choices[index]!.options) visit(index + 1, cost + option.cost, loss + option.loss);
  };
  visit(0, 0, 0);
  return best;
};

describe('the allocator', () => {
  it('finds what trying every combination finds', () => {
    for (let seed = 0; seed < 40; seed++) {
      const random = new Random(seed, 'budget');
      const choices = randomChoices(random, 6, 4);
      const smallest = choices.reduce((sum, { options }) => sum + Math.min(...options.map(({ cost }) => cost)), 0);
      const budget = smallest + random.integer(120);
      const found = allocate(choices, budget);
      expect(found.cost).toBeLessThanOrEqual(budget);
      expect(found.loss).toBeCloseTo(bruteForce(choices, budget), 12);
      expect(found.lowerBound).toBe(found.loss);
    }
  });

  it('takes the least loss of every choice when the budget allows it', () => {
    const choices = randomChoices(new Random(3), 20, 8);
    const least = choices.reduce((sum, { options }) => sum + Math.min(...options.map(({ loss }) => loss)), 0);
    expect(allocate(choices, 1e9).loss).toBeCloseTo(least, 12);
  });

  it('solves hundreds of sites with bytes as costs, exactly', () => {
    const random = new Random(5, 'large');
    const choices = Array.from({ length: 300 }, (_, index) => {
      const weights = 1000 + random.integer(1_000_000);
      const sensitivity = random.float() ** 4;
      return {
        name: `site ${index}`,
        options: [2, 3, 4, 5, 6, 8].map((bits) => ({
          cost: Math.ceil((weights * bits) / 8),
          loss: sensitivity * 4 ** -bits,
        })),
      };
    });
    const budget = choices.reduce((sum, { options }) => sum + options[2]!.cost, 0);
    const found = allocate(choices, budget);
    const uniform = choices.reduce((sum, { options }) => sum + options[2]!.loss, 0);
    expect(found.cost).toBeLessThanOrEqual(budget);
    expect(found.loss).toBeLessThan(uniform);
    expect(found.lowerBound).toBe(found.loss);
  });

  it('finds the cheapest allocation under a bound on the loss', () => {
    const choices = randomChoices(new Random(9), 6, 4);
    const found = allocateForLoss(choices, 2);
    expect(found.loss).toBeLessThanOrEqual(2);
    expect(bruteForce(choices, found.cost - 1)).toBeGreaterThan(2);
  });

  it('gives a front that falls and is convex', () => {
    const front = allocationFront(randomChoices(new Random(11), 10, 6));
    for (let i = 1; i < front.length; i++) {
      expect(front[i]!.cost).toBeGreaterThan(front[i - 1]!.cost);
      expect(front[i]!.loss).toBeLessThan(front[i - 1]!.loss);
    }
    const slopes = front.slice(1).map((point, i) => (front[i]!.loss - point.loss) / (point.cost - front[i]!.cost));
    for (let i = 1; i < slopes.length; i++) expect(slopes[i]!).toBeLessThanOrEqual(slopes[i - 1]! + 1e-12);
  });

  it('says by how much a budget is too small', () => {
    expect(() => allocate([{ name: 'a', options: [{ cost: 5, loss: 0 }] }], 4)).toThrow(/cost 5/);
  });
});
