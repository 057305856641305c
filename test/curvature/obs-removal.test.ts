import { describe, expect, test } from 'vitest';
import { damped, type RemovalConsumer, removalOrder, ridgeSolution } from '../../src/curvature/obs-removal.ts';
import { Random } from '../../src/random.ts';

/** X Xᵀ / n of random X (order, 3 order): symmetric positive definite. */
const randomMoment = (random: Random, order: number): Float64Array => {
  const samples = 3 * order;
  const x = Float64Array.from({ length: order * samples }, () => random.normal());
  const moment = new Float64Array(order * order);
  for (let i = 0; i < order; i++)
    for (let j = 0; j < order; j++) {
      let sum = 0;
      for (let k = 0; k < samples; k++) sum += x[i * samples + k]! * x[j * samples + k]!;
      moment[i * order + j] = sum / samples;
    }
  return moment;
};

/** tr(B D A Dᵀ) by the definition. */
const quadratic = (b: Float64Array, d: Float64Array, a: Float64Array, rows: number, columns: number): number => {
  let sum = 0;
  for (let i = 0; i < rows; i++)
    for (let k = 0; k < rows; k++)
      for (let j = 0; j < columns; j++)
        for (let l = 0; l < columns; l++)
          sum += b[i * rows + k]! * d[k * columns + j]! * a[j * columns + l]! * d[i * columns + l]!;
  return sum;
};

const rows = 5;
const columns = 12;

const consumerOf = (seed: number, units: readonly (readonly number[])[], scale = 0.5): RemovalConsumer => {
  const random = new Random(seed, 'removal');
  return {
    weight: Float32Array.from({ length: rows * columns }, () => random.normal()),
    rows,
    columns,
    inputMoment: randomMoment(random, columns),
    outputMoment: randomMoment(random, rows),
    scale,
    units,
  };
};

const singles = Array.from({ length: columns }, (_, index) => [index]);
const pairs = Array.from({ length: columns / 2 }, (_, index) => [index, index + 6]);

describe('removal in the curvature metric', () => {
  test.each([
    ['single columns', singles],
    ['pairs of columns', pairs],
  ])('what the order predicts for %s is what the ridge solution loses', async (_, units) => {
    const consumer = consumerOf(3, units);
    const { order, losses } = await removalOrder([consumer]);
    expect([...order].sort((a, b) => a - b)).toEqual(units.map((_unit, index) => index));
    for (const count of [1, 3, 5, units.length]) {
      const gone = new Set(order.slice(0, count).flatMap((unit) => units[unit]!));
      const kept = Array.from({ length: columns }, (_unit, index) => index).filter((index) => !gone.has(index));
      const after = await ridgeSolution({ ...consumer, kept });
      const change = Float64Array.from(consumer.weight, (value) => -value);
      for (let row = 0; row < rows; row++)
        kept.forEach((column, at) => {
          change[row * columns + column]! += after[row * kept.length + at]!;
        });
      const a = damped(consumer.inputMoment, columns, 0.01);
      const b = damped(consumer.outputMoment!, rows, 0.1);
      const lost = 0.5 * quadratic(b, change, a, rows, columns);
      expect(losses[count]! / lost).toBeCloseTo(1, 5);
    }
  });

  test('each step takes the unit whose removal costs least, by trying all of them', async () => {
    const consumer = consumerOf(4, pairs);
    const { order, losses } = await removalOrder([consumer]);
    const alone = await Promise.all(
      pairs.map(async (_, unit) => {
        const keep = new Set(pairs.map((__, other) => other).filter((other) => other !== unit));
        return (await removalOrder([consumer], { keep })).losses[1]!;
      }),
    );
    expect(order[0]).toBe(alone.indexOf(Math.min(...alone)));
    expect(losses[1]).toBeCloseTo(Math.min(...alone), 10);
  });

  test('an input that another one repeats costs next to nothing, and its twin takes over its weight', async () => {
    const random = new Random(5, 'twin');
    const moment = randomMoment(random, columns);
    for (let index = 0; index < columns; index++) moment[11 * columns + index] = moment[2 * columns + index]!;
    for (let index = 0; index < columns; index++) moment[index * columns + 11] = moment[index * columns + 2]!;
    const consumer = { ...consumerOf(6, singles), inputMoment: moment };
    const { order, losses } = await removalOrder([consumer], { damp: 1e-9 });
    expect([2, 11]).toContain(order[0]);
    expect(losses[1]! / losses[2]!).toBeLessThan(1e-6);
    const kept = singles.map(([index]) => index!).filter((index) => index !== 11);
    const after = await ridgeSolution({ ...consumer, kept, damp: 1e-9 });
    for (let row = 0; row < rows; row++)
      expect(after[row * 11 + 2]).toBeCloseTo(
        consumer.weight[row * columns + 2]! + consumer.weight[row * columns + 11]!,
        4,
      );
  });

  test('a unit that two products read costs what both lose', async () => {
    const [a, b] = [consumerOf(7, singles), consumerOf(8, singles, 2)];
    const only = new Set(singles.map((_, unit) => unit).filter((unit) => unit !== 4));
    const first = await removalOrder([a], { keep: only });
    const second = await removalOrder([b], { keep: only });
    const both = await removalOrder([a, b], { keep: only });
    expect(both.losses[1]).toBeCloseTo(first.losses[1]! + second.losses[1]!, 10);
  });

  test('units that save more are removed before cheaper ones that save little', async () => {
    const consumer = consumerOf(9, singles);
    const plain = await removalOrder([consumer]);
    const favourite = plain.order.at(-1)!;
    const savings = Float64Array.from({ length: columns }, (_, unit) => (unit === favourite ? 1e6 : 1));
    expect((await removalOrder([consumer], { savings })).order[0]).toBe(favourite);
  });
});
