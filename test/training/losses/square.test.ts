import { describe, expect, it } from 'vitest';
import type { OperatorBuilder } from '../../../src/ir/build.ts';
import type { Value } from '../../../src/ir/graph.ts';
import { Random } from '../../../src/random.ts';
import { type SquareForm, squareLoss, squareOf } from '../../../src/training/losses/square.ts';
import { runRows } from '../run-loss.ts';

const random = new Random(3);
const numbers = (length: number): number[] => Array.from({ length }, () => random.normal());
const softmax = (row: readonly number[]): number[] => {
  const powers = row.map(Math.exp);
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
};
const [samples, heads, length] = [2, 4, 3];
const attention = (): number[] =>
  Array.from({ length: samples * heads * length }, () => softmax(numbers(length))).flat();
const presence = { shape: [samples, length], numbers: [1, 1, 1, 1, 1, 0] };
const total = { shape: [], numbers: [5] };

const lossOf = async (
  form: SquareForm,
  student: { shape: readonly number[]; numbers: readonly number[] },
  teacher: { shape: readonly number[]; numbers: readonly number[] },
): Promise<number> => {
  const rows = (build: OperatorBuilder, inputs: Readonly<Record<string, Value>>): Value =>
    squareLoss(build, squareOf(build, inputs.student!, form), inputs.teacher!, [inputs.presence!, inputs.total!]);
  const { rows: found } = await runRows({ student, teacher, presence, total }, 'student', rows);
  return found[0]!;
};

/** KL of rows of distributions, mean over heads and the present positions. */
const reference = (own: readonly number[], taught: readonly number[], count: number): number => {
  let sum = 0;
  for (let sample = 0; sample < samples; sample++)
    for (let head = 0; head < count; head++)
      for (let row = 0; row < length; row++) {
        if (presence.numbers[sample * length + row] === 0) continue;
        for (let column = 0; column < length; column++) {
          const at = ((sample * count + head) * length + row) * length + column;
          sum += (taught[at]! * Math.log(taught[at]! / own[at]!)) / count;
        }
      }
  return sum / 5;
};

describe('attention', () => {
  const [own, taught] = [attention(), attention()];
  const square = [samples, heads, length, length];

  it('is compared head by head over present positions, and nothing differs from itself', async () => {
    const found = await lossOf('attention', { shape: square, numbers: own }, { shape: square, numbers: taught });
    expect(found).toBeCloseTo(reference(own, taught, heads), 5);
    expect(await lossOf('attention', { shape: square, numbers: own }, { shape: square, numbers: own })).toBeCloseTo(
      0,
      6,
    );
  });

  it('of groups of heads is that of the heads', async () => {
    const grouped = [samples, 2, 2, length, length];
    const found = await lossOf('attention', { shape: grouped, numbers: own }, { shape: square, numbers: taught });
    expect(found).toBeCloseTo(reference(own, taught, heads), 5);
  });

  it('of other numbers of heads is compared by its mean', async () => {
    const mean = Array.from({ length: samples * length * length }, (_, index) => {
      const [sample, place] = [Math.floor(index / length ** 2), index % length ** 2];
      return [0, 1, 2, 3].reduce((sum, head) => sum + own[(sample * heads + head) * length ** 2 + place]! / 4, 0);
    });
    const other = Array.from({ length: samples * length }, () => softmax(numbers(length))).flat();
    const found = await lossOf(
      'mean-attention',
      { shape: square, numbers: own },
      { shape: [samples, 1, length, length], numbers: other },
    );
    expect(found).toBeCloseTo(reference(mean, other, 1), 5);
  });
});

describe('relations', () => {
  it('are softmax(V Vᵀ / √width), whatever the teacher’s width', async () => {
    const width = 6;
    const vectors = numbers(samples * length * width);
    const at = (sample: number, row: number): number[] =>
      vectors.slice((sample * length + row) * width, (sample * length + row + 1) * width);
    const own: number[] = [];
    for (let sample = 0; sample < samples; sample++)
      for (let row = 0; row < length; row++)
        own.push(
          ...softmax(
            Array.from(
              { length },
              (_, column) =>
                at(sample, row).reduce((sum, x, index) => sum + x * at(sample, column)[index]!, 0) / Math.sqrt(width),
            ),
          ),
        );
    const taught = Array.from({ length: samples * length }, () => softmax(numbers(length))).flat();
    const found = await lossOf(
      'relation',
      { shape: [samples, length, width], numbers: vectors },
      { shape: [samples, 1, length, length], numbers: taught },
    );
    expect(found).toBeCloseTo(reference(own, taught, 1), 5);
  });
});
