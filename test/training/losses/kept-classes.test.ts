import { describe, expect, it } from 'vitest';
import { Random } from '../../../src/random.ts';
import { greatestChances } from '../../../src/training/capture/greatest.ts';
import { forwardKl } from '../../../src/training/losses/forward-kl.ts';
import { keptClasses } from '../../../src/training/losses/kept-classes.ts';
import { differences, runRows } from '../run-loss.ts';

const [rows, classes] = [3, 12];
const random = new Random(5);
const student = Array.from({ length: rows * classes }, () => 2 * random.normal());
const teacher = Float32Array.from({ length: rows * classes }, () => 2 * random.normal());

const run = (scores: readonly number[], kept: number, temperature: number) => {
  const known = greatestChances(teacher, classes, kept, temperature);
  return runRows(
    {
      student: { shape: [rows, classes], numbers: scores },
      teacher: { shape: [rows, kept + 1], numbers: [...known.data] },
      labels: { shape: [rows, kept], numbers: [...known.classes!] },
    },
    'student',
    (build, inputs) => {
      const reduced = keptClasses(build, inputs.student!, inputs.labels!, { kept, temperature });
      return forwardKl.rows({
        build,
        student: reduced,
        teacher: inputs.teacher!,
        labels: inputs.labels!,
        temperature: 1,
        mixture: 0,
      });
    },
  );
};

const chances = (scores: readonly number[], temperature: number): number[] => {
  const powers = scores.map((score) => Math.exp(score / temperature));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
};

/** KL of the kept classes and one class of all others. */
const reference = (scores: readonly number[], row: number, kept: number, temperature: number): number => {
  const part = (numbers: ArrayLike<number>): number[] =>
    chances(Array.from(numbers).slice(row * classes, (row + 1) * classes), temperature);
  const [p, q] = [part(teacher), part(scores)];
  const order = [...p.keys()].sort((a, b) => p[b]! - p[a]!).slice(0, kept);
  const rest = (of: number[]): number => 1 - order.reduce((sum, index) => sum + of[index]!, 0);
  const terms = order.map((index) => p[index]! * Math.log(p[index]! / q[index]!));
  return terms.reduce((sum, term) => sum + term, 0) + rest(p) * Math.log(rest(p) / rest(q));
};

describe.each([
  [4, 1],
  [4, 3],
  [11, 1],
] as const)('%d kept chances at temperature %d', (kept, temperature) => {
  it('are compared with the student’s chances of the same classes and of the rest, and so is the gradient', async () => {
    const found = await run(student, kept, temperature);
    found.rows.forEach((value, row) => {
      expect(value).toBeCloseTo(reference(student, row, kept, temperature), 4);
    });
    const total = (scores: readonly number[]): number =>
      Array.from({ length: rows }, (_, row) => reference(scores, row, kept, temperature)).reduce((a, b) => a + b, 0);
    differences(student, total).forEach((slope, index) => {
      expect(found.gradient[index]).toBeCloseTo(slope, 3);
    });
  });
});

it('all chances kept are the whole divergence', async () => {
  const whole = await run(student, classes, 1);
  const most = await run(student, classes - 1, 1);
  whole.rows.forEach((value, row) => {
    expect(value).toBeCloseTo(most.rows[row]!, 4);
  });
});
