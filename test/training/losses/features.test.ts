import { describe, expect, it } from 'vitest';
import { Random } from '../../../src/random.ts';
import { featureLosses } from '../../../src/training/losses/features.ts';
import { differences, runRows } from '../run-loss.ts';

const width = 6;
const random = new Random(8);
const student = Array.from({ length: 2 * width }, () => random.normal());
const teacher = Array.from({ length: 2 * width }, () => random.normal());

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, x, index) => sum + x * b[index]!, 0);
const vector = (numbers: readonly number[], index: number): readonly number[] =>
  numbers.slice(index * width, (index + 1) * width);

const formulas = {
  mse: (s: readonly number[], t: readonly number[]): number => {
    const error = s.map((x, index) => x - t[index]!);
    return dot(error, error) / dot(t, t);
  },
  cosine: (s: readonly number[], t: readonly number[]): number => 1 - dot(s, t) / Math.sqrt(dot(s, s) * dot(t, t)),
};

/** -log softmax over the teacher's vectors of cos / 0.1, at the own one. */
const contrast = (own: readonly number[], index: number): number => {
  const cosine = (other: number): number => {
    const [s, t] = [vector(own, index), vector(teacher, other)];
    return dot(s, t) / Math.sqrt(dot(s, s) * dot(t, t)) / 0.1;
  };
  return Math.log(Math.exp(cosine(0)) + Math.exp(cosine(1))) - cosine(index);
};

it('feature loss contrastive and its gradient are those of the formula', async () => {
  const { rows, gradient } = await runRows(
    { student: { shape: [2, width], numbers: student }, teacher: { shape: [2, width], numbers: teacher } },
    'student',
    (build, inputs) => featureLosses.contrastive.rows({ build, student: inputs.student!, teacher: inputs.teacher! }),
  );
  rows.forEach((found, index) => {
    expect(found).toBeCloseTo(contrast(student, index), 4);
  });
  differences(student, (own) => contrast(own, 0) + contrast(own, 1)).forEach((slope, index) => {
    expect(gradient[index]).toBeCloseTo(slope, 3);
  });
});

describe.each(Object.entries(formulas))('feature loss %s', (name, formula) => {
  const loss = featureLosses[name as keyof typeof featureLosses];
  const run = (own: readonly number[]) =>
    runRows(
      { student: { shape: [2, width], numbers: own }, teacher: { shape: [2, width], numbers: teacher } },
      'student',
      (build, inputs) => loss.rows({ build, student: inputs.student!, teacher: inputs.teacher! }),
    );

  it('and its gradient are those of the formula', async () => {
    const value = (own: readonly number[], index: number): number =>
      formula(vector(own, index), vector(teacher, index));
    const { rows, gradient } = await run(student);
    rows.forEach((found, index) => {
      expect(found).toBeCloseTo(value(student, index), 5);
    });
    differences(student, (own) => value(own, 0) + value(own, 1)).forEach((slope, index) => {
      expect(gradient[index]).toBeCloseTo(slope, 4);
    });
  });

  it('is zero where both agree', async () => {
    for (const found of (await run(teacher)).rows) expect(Math.abs(found)).toBeLessThan(1e-6);
  });
});
