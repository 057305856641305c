import { describe, expect, test } from 'vitest';
import { Random } from '../../../../src/random.ts';
import {
  expandTrain,
  matrixOfTensor,
  type TrainShape,
  tensorOfMatrix,
  tensorRing,
  tensorTrain,
  trainParameters,
  trainShapes,
} from '../../../../src/stages/factorize/methods/tensor-train.ts';

const shape: TrainShape = { rows: [2, 3, 2], columns: [3, 2, 2] };
const matrix = Float64Array.from(new Random(3, 'train').normals(12 * 12));
const tensor = tensorOfMatrix(matrix, shape);

const distance = (x: Float64Array, y: Float64Array): number =>
  Math.sqrt(x.reduce((sum, value, index) => sum + (value - y[index]!) ** 2, 0));

describe('a matrix as a tensor', () => {
  test('and back is what it was', () => {
    expect(matrixOfTensor(tensor, shape)).toEqual(matrix);
  });

  test('has the digits of rows and columns beside each other', () => {
    // Row 7 = (1, 0, 1), column 10 = (2, 1, 0): indices (1·3 + 2, 0·2 + 1, 1·2 + 0) of (6, 6, 4).
    expect(tensor[(5 * 6 + 1) * 4 + 2]).toBe(matrix[7 * 12 + 10]);
  });
});

describe.each([
  ['train', tensorTrain],
  ['ring', tensorRing],
] as const)('tensor %s', (name, decompose) => {
  test('without a limit that bites is exact', async () => {
    const cores = await decompose(tensor, shape, { cutOff: 0 });
    expect(cores).toHaveLength(3);
    expect(cores[0]!.before).toBe(cores.at(-1)!.after);
    expect(distance(await expandTrain(cores), tensor)).toBeLessThan(1e-10);
  });

  test('with δ cut off at each step is off by at most δ √(d − 1)', async () => {
    for (const cutOff of [1, 3, 6]) {
      const error = distance(await expandTrain(await decompose(tensor, shape, { cutOff })), tensor);
      expect(error).toBeGreaterThan(0);
      expect(error).toBeLessThanOrEqual(cutOff * Math.sqrt(2) + 1e-9);
    }
  });

  test('finds a small decomposition that is there', async () => {
    const small = await decompose(tensor, shape, { rank: 2 });
    const planted = await expandTrain(small);
    const again = await decompose(planted, shape, { cutOff: 1e-8 });
    expect(distance(await expandTrain(again), planted)).toBeLessThan(1e-6);
    if (name === 'train') expect(trainParameters(again)).toBeLessThanOrEqual(trainParameters(small));
    expect(trainParameters(small)).toBeLessThan(144);
  });
});

describe('shapes', () => {
  test('multiply to rows and columns, the most even first', () => {
    const shapes = trainShapes(12, 18, 2, 50);
    for (const { rows, columns } of shapes) {
      expect(rows[0]! * rows[1]!).toBe(12);
      expect(columns[0]! * columns[1]!).toBe(18);
    }
    const sizes = shapes.map(({ rows, columns }) =>
      Math.round(1e6 * Math.abs(Math.log(rows[0]! * columns[0]!) - Math.log(216) / 2)),
    );
    expect([...sizes].sort((a, b) => a - b)).toEqual(sizes);
    expect(shapes.some(({ rows }) => rows[0] === 12)).toBe(true);
  });
});
