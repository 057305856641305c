import { describe, expect, test } from 'vitest';
import { matmul } from '../../../../src/kernels/index.ts';
import { Random } from '../../../../src/random.ts';
import { keptDimensions, queryKeyScores } from '../../../../src/stages/slice/methods/modegpt/query-key.ts';
import { layerSparsities } from '../../../../src/stages/slice/methods/modegpt/sparsity.ts';
import { valueOutputFactors } from '../../../../src/stages/slice/methods/modegpt/value-output.ts';

const [size, columns, rows] = [4, 6, 5];

const normals = (count: number, name: string): Float64Array => Float64Array.from(new Random(7, name).normals(count));

const moment = async (): Promise<Float64Array> => {
  const x = normals(20 * columns, 'inputs').map((value, index) => value / (1 + (index % columns)));
  return matmul({ a: x, rows: columns, inner: 20, b: x, columns, transposeA: true });
};

describe('values and outputs', () => {
  const scene = async () => ({
    value: normals(size * columns, 'value'),
    outputs: normals(2 * rows * size, 'outputs'),
    size,
    columns,
    inputMoment: await moment(),
  });
  const product = (a: Float64Array, b: Float64Array, inner: number): Promise<Float64Array> =>
    matmul({ a, rows: 2 * rows, inner, b, columns });
  /** E|D x|². */
  const lossOf = async (whole: Float64Array, made: Float64Array, c: Float64Array): Promise<number> => {
    const d = whole.map((value, index) => value - made[index]!);
    const dc = await matmul({ a: d, rows: 2 * rows, inner: columns, b: c, columns });
    return d.reduce((sum, value, index) => sum + value * dc[index]!, 0);
  };

  test('at the full size of a head the product of two heads with one value is what it was', async () => {
    const input = await scene();
    const whole = await product(input.outputs, input.value, size);
    const { left, right } = (await valueOutputFactors(input)).factors(size);
    const made = await product(left, right, size);
    made.forEach((value, index) => {
      expect(value).toBeCloseTo(whole[index]!, 8);
    });
  });

  test('no other factors of a rank lose less on the inputs', async () => {
    const input = await scene();
    const whole = await product(input.outputs, input.value, size);
    const { left, right } = (await valueOutputFactors(input)).factors(2);
    const best = await lossOf(whole, await product(left, right, 2), input.inputMoment);
    expect(best).toBeGreaterThan(0);
    for (let attempt = 0; attempt < 20; attempt++) {
      const turn = (x: Float64Array, name: string): Float64Array => {
        const noise = normals(x.length, `${name} ${attempt}`);
        return x.map((value, index) => value + 0.05 * noise[index]!);
      };
      const other = await product(turn(left, 'left'), turn(right, 'right'), 2);
      expect(await lossOf(whole, other, input.inputMoment)).toBeGreaterThan(best);
    }
  });
});

describe('queries and keys', () => {
  const scene = async (rotary: boolean) => ({
    queries: normals(2 * size * columns, 'queries'),
    key: normals(size * columns, 'key'),
    size,
    columns,
    inputMoment: await moment(),
    rotary,
  });

  test('a dimension that no key has is worth nothing, and goes first', async () => {
    const input = await scene(false);
    input.key.fill(0, 2 * columns, 3 * columns);
    const scores = await queryKeyScores(input);
    expect(scores).toHaveLength(size);
    expect(scores[2]).toBe(0);
    expect(keptDimensions(scores, 3, { rotary: false })).toEqual([0, 1, 3]);
  });

  test('the bound holds: no score on the calibration data is farther off in the mean than what went', async () => {
    const input = await scene(false);
    const scores = await queryKeyScores({ ...input, queries: input.queries.slice(0, size * columns) });
    const [least] = [...scores.keys()].sort((a, b) => scores[a]! - scores[b]!);
    const x = normals(20 * columns, 'inputs').map((value, index) => value / (1 + (index % columns)));
    const [q, k] = [input.queries, input.key].map((w) => (at: number): number => {
      let sum = 0;
      for (let column = 0; column < columns; column++) sum += w[least! * columns + column]! * x[at * columns + column]!;
      return sum;
    });
    let total = 0;
    for (let i = 0; i < 20; i++) for (let j = 0; j < 20; j++) total += (q!(i) * k!(j)) ** 2;
    expect(Math.sqrt(total)).toBeCloseTo(scores[least!]!, 6);
  });

  test('rotary pairs stay together', async () => {
    const scores = await queryKeyScores(await scene(true));
    expect(scores).toHaveLength(2);
    const kept = keptDimensions(scores, 1, { rotary: true });
    expect(kept[1]).toBe(kept[0]! + 2);
  });
});

describe('shares of layers', () => {
  test('have the mean that was asked for; layers that do more lose less', () => {
    const shares = layerSparsities([0.1, 0.3, 0.2, 0.6], 0.25);
    expect(shares.reduce((a, b) => a + b, 0) / 4).toBeCloseTo(0.25, 10);
    expect(shares[0]).toBeGreaterThan(shares[2]!);
    expect(shares[2]).toBeGreaterThan(shares[1]!);
    expect(shares[1]).toBeGreaterThan(shares[3]!);
  });

  test('no layer loses more than four fifths: the others take the rest', () => {
    const shares = layerSparsities([0, 1, 1, 1], 0.5);
    expect(shares[0]).toBe(0.8);
    expect(shares.reduce((a, b) => a + b, 0) / 4).toBeCloseTo(0.5, 10);
  });
});
