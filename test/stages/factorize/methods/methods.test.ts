import { describe, expect, test } from 'vitest';
import { matmul } from '../../../../src/kernels/index.ts';
import { Random } from '../../../../src/random.ts';
import { type FactorMethodName, factorMethods } from '../../../../src/stages/factorize/methods/index.ts';
import type { Factors } from '../../../../src/stages/factorize/methods/method.ts';
import { squareRoot } from '../../../../src/stages/factorize/methods/square-root.ts';
import { lossesByRank } from '../../../../src/stages/factorize/predict.ts';

const [rows, columns] = [9, 7];

const moment = async (n: number, name: string): Promise<Float64Array> => {
  const x = Float64Array.from(new Random(3, name).normals(3 * n * n), (value, index) => value / (1 + (index % n)));
  return matmul({ a: x, rows: n, inner: 3 * n, b: x, columns: n, transposeA: true });
};

const scene = async () => ({
  weight: Float64Array.from(new Random(5, 'weight').normals(rows * columns)),
  rows,
  columns,
  a: await moment(columns, 'inputs'),
  b: await moment(rows, 'outputs'),
});

const product = ({ left, right }: Factors, rank: number): Promise<Float64Array> =>
  matmul({ a: left, rows, inner: rank, b: right, columns });

/** tr(B D A Dᵀ). */
const quadratic = async (d: Float64Array, a: Float64Array, b: Float64Array): Promise<number> => {
  const da = await matmul({ a: d, rows, inner: columns, b: a, columns });
  const bda = await matmul({ a: b, rows, inner: rows, b: da, columns });
  return d.reduce((sum, value, index) => sum + value * bda[index]!, 0);
};

const names = Object.keys(factorMethods) as FactorMethodName[];

describe.each(names)('decomposition %s', (name) => {
  test('at full rank the factors are exact', async () => {
    const input = await scene();
    const decomposition = await factorMethods[name].decompose(input);
    const whole = await product(decomposition.factors(decomposition.fullRank), decomposition.fullRank);
    expect(decomposition.fullRank).toBe(7);
    whole.forEach((value, index) => {
      expect(value).toBeCloseTo(input.weight[index]!, 8);
    });
  });

  test('factors have the same size, however small the metric is', async () => {
    const input = await scene();
    const b = input.b.map((value) => 1e-300 * value);
    const { left, right } = (await factorMethods[name].decompose({ ...input, b })).factors(7);
    const size = (values: Float64Array): number => Math.hypot(...values);
    expect(size(left) / size(right)).toBeCloseTo(1, 6);
    const whole = await product({ left: left.map(Math.fround), right: right.map(Math.fround) }, 7);
    whole.forEach((value, index) => {
      expect(value).toBeCloseTo(input.weight[index]!, 5);
    });
  });

  test('the predicted loss of every rank is tr(B ΔW A ΔWᵀ) of what it cuts off', async () => {
    const input = await scene();
    const { a, b, weight } = input;
    const decomposition = await factorMethods[name].decompose(input);
    const losses = await lossesByRank({ decomposition, rows, columns, a, b, scale: 0.5 });
    expect(losses[0]).toBeCloseTo(0.5 * (await quadratic(weight, a, b)), 6);
    for (const rank of [1, 3, 6]) {
      const kept = await product(decomposition.factors(rank), rank);
      const expected =
        0.5 *
        (await quadratic(
          weight.map((value, index) => value - kept[index]!),
          a,
          b,
        ));
      expect(losses[rank]! / expected).toBeCloseTo(1, 6);
    }
    expect(losses[7]).toBeCloseTo(0, 8);
  });
});

test('each method is the best in its own metric', async () => {
  const input = await scene();
  const identity = (n: number): Float64Array =>
    Float64Array.from({ length: n * n }, (_, index) => (index % (n + 1) === 0 ? 1 : 0));
  const metrics = {
    'two-sided': { a: input.a, b: input.b },
    whitened: { a: input.a, b: identity(rows) },
    plain: { a: identity(columns), b: identity(rows) },
  };
  for (const [metricName, { a, b }] of Object.entries(metrics)) {
    const losses = new Map<string, number>();
    for (const name of names) {
      const decomposition = await factorMethods[name].decompose(input);
      losses.set(name, (await lossesByRank({ decomposition, rows, columns, a, b, scale: 1 }))[3]!);
    }
    // The damping of B keeps the two-sided method a little off its own optimum.
    const own = losses.get(metricName)! * 0.98;
    for (const [name, loss] of losses) if (name !== metricName) expect(loss).toBeGreaterThan(own);
  }
});

test('the square root and its inverse give the matrix and the identity, for a singular matrix too', async () => {
  const full = await moment(6, 'root');
  const { root, inverse } = await squareRoot(full, 6);
  const squared = await matmul({ a: root, rows: 6, inner: 6, b: root, columns: 6 });
  squared.forEach((value, index) => {
    expect(value).toBeCloseTo(full[index]!, 8);
  });
  const unit = await matmul({ a: root, rows: 6, inner: 6, b: inverse, columns: 6 });
  unit.forEach((value, index) => {
    expect(value).toBeCloseTo(index % 7 === 0 ? 1 : 0, 8);
  });
  const singular = await squareRoot(Float64Array.from([4, 0, 0, 0]), 2);
  expect(singular.root[0]).toBeCloseTo(2, 10);
  expect(singular.inverse.every(Number.isFinite)).toBe(true);
});
