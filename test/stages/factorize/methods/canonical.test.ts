import { describe, expect, test } from 'vitest';
import { matmul } from '../../../../src/kernels/index.ts';
import { Random } from '../../../../src/random.ts';
import { canonicalFactors, expandCanonical } from '../../../../src/stages/factorize/methods/canonical.ts';

const [rows, channels, places] = [5, 4, 3];
const columns = channels * places;

const moment = async (n: number, name: string): Promise<Float64Array> => {
  const x = Float64Array.from(new Random(3, name).normals(3 * n * n), (value, index) => value / (1 + (index % n)));
  return matmul({ a: x, rows: n, inner: 3 * n, b: x, columns: n, transposeA: true });
};

const sceneOf = async (weight: Float64Array) => ({
  weight,
  rows,
  columns,
  channels,
  a: await moment(columns, 'inputs'),
  b: await moment(rows, 'outputs'),
});

const error = (x: Float64Array, y: Float64Array): number =>
  Math.sqrt(x.reduce((sum, value, index) => sum + (value - y[index]!) ** 2, 0));

describe('canonical decomposition', () => {
  test('finds the sum of three products that a weight is', async () => {
    const random = new Random(11, 'planted');
    const planted = {
      output: Float64Array.from(random.normals(rows * 3)),
      input: Float64Array.from(random.normals(3 * channels)),
      filter: Float64Array.from(random.normals(3 * places)),
    };
    const weight = expandCanonical(planted, 3);
    const made = expandCanonical(await canonicalFactors(await sceneOf(weight), 3), 3);
    expect(error(made, weight)).toBeLessThan(1e-2 * error(weight, new Float64Array(weight.length)));
  });

  test('at as many terms as any tensor of its size needs it is exact', async () => {
    const weight = Float64Array.from(new Random(5, 'weight').normals(rows * columns));
    const made = expandCanonical(await canonicalFactors(await sceneOf(weight), columns), columns);
    expect(error(made, weight)).toBeLessThan(1e-3 * error(weight, new Float64Array(weight.length)));
  });

  test('more terms lose less', async () => {
    const weight = Float64Array.from(new Random(5, 'weight').normals(rows * columns));
    const scene = await sceneOf(weight);
    const errors: number[] = [];
    for (const rank of [1, 3, 6])
      errors.push(error(expandCanonical(await canonicalFactors(scene, rank), rank), weight));
    expect(errors[1]).toBeLessThan(errors[0]!);
    expect(errors[2]).toBeLessThan(errors[1]!);
  });
});
