import { expect, test } from 'vitest';
import { matmul } from '../../../../src/kernels/index.ts';
import { Random } from '../../../../src/random.ts';
import { decomposeTucker, expandTucker } from '../../../../src/stages/factorize/methods/tucker.ts';

const [rows, channels, places] = [7, 5, 4];
const columns = channels * places;

const moment = async (n: number, name: string): Promise<Float64Array> => {
  const x = Float64Array.from(new Random(3, name).normals(3 * n * n), (value, index) => value / (1 + (index % n)));
  return matmul({ a: x, rows: n, inner: 3 * n, b: x, columns: n, transposeA: true });
};

const scene = async () => ({
  weight: Float64Array.from(new Random(5, 'weight').normals(rows * columns)),
  rows,
  columns,
  channels,
  a: await moment(columns, 'inputs'),
  b: await moment(rows, 'outputs'),
});

test('at full ranks the three factors are exact', async () => {
  const input = await scene();
  const ranks = { rows, channels };
  const factors = await (await decomposeTucker(input)).factors(ranks);
  expect([factors.input.length, factors.core.length, factors.output.length]).toEqual([
    channels * channels,
    rows * columns,
    rows * rows,
  ]);
  const whole = await expandTucker(factors, ranks, input);
  whole.forEach((value, index) => {
    expect(value).toBeCloseTo(input.weight[index]!, 6);
  });
});

test('a weight of small ranks is found again at those ranks', async () => {
  const input = await scene();
  const ranks = { rows: 3, channels: 2 };
  const random = new Random(9, 'small');
  const weight = await expandTucker(
    {
      input: Float64Array.from(random.normals(2 * channels)),
      core: Float64Array.from(random.normals(3 * 2 * places)),
      output: Float64Array.from(random.normals(rows * 3)),
    },
    ranks,
    input,
  );
  const factors = await (await decomposeTucker({ ...input, weight })).factors(ranks);
  const again = await expandTucker(factors, ranks, input);
  again.forEach((value, index) => {
    expect(value).toBeCloseTo(weight[index]!, 6);
  });
});

test('greater ranks never lose more, in the metric of the outputs and inputs', async () => {
  const input = await scene();
  const decomposition = await decomposeTucker(input);
  const errors: number[] = [];
  for (const rank of [1, 3, 5]) {
    const ranks = { rows: rank, channels: rank };
    const made = await expandTucker(await decomposition.factors(ranks), ranks, input);
    const delta = input.weight.map((value, index) => value - made[index]!);
    const da = await matmul({ a: delta, rows, inner: columns, b: input.a, columns });
    const bda = await matmul({ a: input.b, rows, inner: rows, b: da, columns });
    errors.push(delta.reduce((sum, value, index) => sum + value * bda[index]!, 0));
  }
  expect(errors[1]).toBeLessThan(errors[0]!);
  expect(errors[2]).toBeLessThan(errors[1]!);
});
