import { expect, test } from 'vitest';
import { causedBy, cheapestFor, standardError } from '../../../src/curvature/attribution/shares.ts';
import { Random } from '../../../src/random.ts';

/** xᵀ M x over the changes that are made: M symmetric and positive semidefinite. */
const quadratic = (count: number, seed: number): ((made: readonly number[]) => number) => {
  const random = new Random(seed, 'quadratic');
  const rows = Array.from({ length: count }, () => random.normals(count + 2));
  const between = (i: number, j: number): number => rows[i]!.reduce((sum, value, k) => sum + value * rows[j]![k]!, 0);
  return (made) => made.reduce((sum, i) => sum + made.reduce((inner, j) => inner + between(i, j), 0), 0);
};

test('the parts of a quadratic loss are its Shapley values: they add up, and equal the mean over all orders', () => {
  const loss = quadratic(4, 3);
  const all = [0, 1, 2, 3];
  const parts = all.map((part) =>
    causedBy({ alone: loss([part]), restored: loss(all) - loss(all.filter((other) => other !== part)) }),
  );
  expect(parts.reduce((sum, part) => sum + part, 0)).toBeCloseTo(loss(all), 9);
  const orders = (rest: readonly number[]): number[][] =>
    rest.length === 0
      ? [[]]
      : rest.flatMap((first) => orders(rest.filter((other) => other !== first)).map((order) => [first, ...order]));
  for (const part of all) {
    const turns = orders(all).map((order) => {
      const before = order.slice(0, order.indexOf(part));
      return loss([...before, part]) - loss(before);
    });
    expect(parts[part]).toBeCloseTo(turns.reduce((sum, turn) => sum + turn, 0) / turns.length, 9);
  }
});

const items = [
  { name: 'a', gain: 5, cost: 10 },
  { name: 'b', gain: 4, cost: 4 },
  { name: 'c', gain: 1, cost: 0.5 },
  { name: 'd', gain: -1, cost: 1 },
];

const added = async (chosen: readonly { readonly gain: number }[]): Promise<number> =>
  chosen.reduce((sum, { gain }) => sum + gain, 0);

test('the cheapest that suffice are taken, and none that is not needed', async () => {
  const names = async (wanted: number): Promise<string> =>
    (await cheapestFor(items, wanted, added)).chosen.map(({ name }) => name).join('');
  expect(await names(1)).toBe('c');
  expect(await names(4)).toBe('b');
  expect(await names(5)).toBe('cb');
  expect(await names(9)).toBe('ba');
  expect(await names(10)).toBe('cba');
});

test('what cannot be had gives all that helps, with what it gains', async () => {
  const { chosen, gain } = await cheapestFor(items, 11, added);
  expect(chosen.map(({ name }) => name)).toEqual(['c', 'b', 'a']);
  expect(gain).toBe(10);
  expect(await cheapestFor([], 1, added)).toEqual({ chosen: [], gain: 0 });
});

test('what is measured decides, not what was added up', async () => {
  const half = async (chosen: readonly { readonly gain: number }[]): Promise<number> => (await added(chosen)) / 2;
  const { chosen, gain } = await cheapestFor(items, 4, half);
  expect(gain).toBeGreaterThanOrEqual(4);
  expect(chosen.map(({ name }) => name)).toEqual(['b', 'a']);
});

test('the standard error is that of a mean', () => {
  expect(standardError(Float64Array.of(1, 3))).toBeCloseTo(1, 12);
  expect(standardError(Float64Array.of(2, 2, 2))).toBe(0);
  expect(standardError(Float64Array.of(2))).toBeUndefined();
});
