import { describe, expect, test } from 'vitest';
import { floatArray } from '../../../src/execution/arrays.ts';
import { Random } from '../../../src/random.ts';
import { featuresOf, HeadMoments, scoresOf } from '../../../src/stages/exits/heads.ts';

const { signal } = new AbortController();

test('scores that are linear in the features are found again', async () => {
  const random = new Random(1, 'head');
  const [features, classes, rows] = [5, 3, 40];
  const weight = random.normals(classes * features);
  const bias = random.normals(classes);
  const inputs = Float64Array.from(random.normals(rows * features));
  const truth = scoresOf({ weight, bias, features }, inputs, rows);
  const moments = new HeadMoments(features, classes);
  for (let row = 0; row < rows; row++) {
    const data = inputs.subarray(row * features, (row + 1) * features);
    const scores = truth.subarray(row * classes, (row + 1) * classes);
    await moments.add({ data, rows: 1, width: features }, scores, row, signal);
  }
  const head = await moments.solve(1e-9, signal);
  head.weight.forEach((value, index) => {
    expect(value).toBeCloseTo(weight[index]!, 4);
  });
  head.bias.forEach((value, index) => {
    expect(value).toBeCloseTo(bias[index]!, 4);
  });
});

describe('features', () => {
  const picture = floatArray([1, 2, 2, 2], Float32Array.from([1, 2, 3, 6, -1, -2, -3, -4]));

  test('a picture gives means over cells, the greatest value and the spread of each channel', () => {
    const whole = featuresOf(picture, { kind: 'picture', cells: 1, cellSize: [2, 2] });
    expect(Array.from(whole.data.subarray(0, 4))).toEqual([3, -2.5, 6, -1]);
    expect(whole.data[4]).toBeCloseTo(Math.sqrt(3.5), 12);
    const cells = featuresOf(picture, { kind: 'picture', cells: 2, cellSize: [1, 1] });
    expect(Array.from(cells.data.subarray(0, 8))).toEqual([1, 2, 3, 6, -1, -2, -3, -4]);
  });

  test('positions count one by one, or by their mean', () => {
    const tokens = floatArray([1, 2, 3], Float32Array.from([1, 2, 3, 5, 6, 7]));
    expect(featuresOf(tokens, { kind: 'none' })).toMatchObject({ rows: 2, width: 3 });
    expect(Array.from(featuresOf(tokens, { kind: 'mean' }).data)).toEqual([3, 4, 5]);
  });
});
