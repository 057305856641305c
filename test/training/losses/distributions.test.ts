import { describe, expect, it } from 'vitest';
import { Random } from '../../../src/random.ts';
import { type DistributionLossName, distributionLosses } from '../../../src/training/losses/table.ts';
import { differences, runRows } from '../run-loss.ts';

/** The published formulas in double precision, one row. */
const softmax = (scores: readonly number[], temperature: number): number[] => {
  const powers = scores.map((score) => Math.exp((score - Math.max(...scores)) / temperature));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
};
const kl = (p: readonly number[], q: readonly number[]): number =>
  p.reduce((sum, chance, index) => sum + (chance > 0 ? chance * Math.log(chance / q[index]!) : 0), 0);
const mix = (a: readonly number[], b: readonly number[], share: number): number[] =>
  a.map((chance, index) => share * chance + (1 - share) * b[index]!);

type Formula = (p: number[], q: number[], share: number) => number;

const formulas: Readonly<Record<Exclude<DistributionLossName, 'cross-entropy'>, Formula>> = {
  'forward-kl': (p, q) => kl(p, q),
  'reverse-kl': (p, q) => kl(q, p),
  'skewed-forward-kl': (p, q, share) => kl(p, mix(p, q, share)),
  'skewed-reverse-kl': (p, q, share) => kl(q, mix(q, p, share)),
  'jensen-shannon': (p, q, share) => share * kl(p, mix(p, q, share)) + (1 - share) * kl(q, mix(p, q, share)),
};

const classes = 7;
const random = new Random(5);
const student = Array.from({ length: 3 * classes }, () => 2 * random.normal());
const teacher = Array.from({ length: 3 * classes }, () => 2 * random.normal());
const row = (numbers: readonly number[], index: number): number[] => [
  ...numbers.slice(index * classes, (index + 1) * classes),
];

const run = (
  name: DistributionLossName,
  settings: { temperature: number; mixture: number },
  scores = student,
  taught = teacher,
) =>
  runRows(
    {
      student: { shape: [3, classes], numbers: scores },
      teacher: { shape: [3, classes], numbers: taught },
      labels: { shape: [3], numbers: [0, 6, 2] },
    },
    'student',
    (build, inputs) =>
      distributionLosses[name].rows({
        build,
        student: inputs.student!,
        teacher: inputs.teacher!,
        labels: inputs.labels!,
        ...settings,
      }),
  );

describe.each(Object.entries(formulas))('%s', (name, formula) => {
  const loss = name as DistributionLossName;
  it.each([
    [1, 0.1],
    [2.5, 0.5],
    [0.7, 0.9],
  ])(
    'is the published formula times T² at temperature %d, mixture %d, and so is its gradient',
    async (temperature, mixture) => {
      const value = (scores: readonly number[], index: number): number =>
        temperature ** 2 *
        formula(softmax(row(teacher, index), temperature), softmax(row(scores, index), temperature), mixture);
      const total = (scores: readonly number[]): number => value(scores, 0) + value(scores, 1) + value(scores, 2);
      const { rows, gradient } = await run(loss, { temperature, mixture });
      rows.forEach((nats, index) => {
        expect(nats).toBeCloseTo(value(student, index), 5);
      });
      differences(student, total).forEach((slope, index) => {
        expect(gradient[index]).toBeCloseTo(slope, 4);
      });
    },
  );

  it('is zero with a zero gradient where student and teacher agree', async () => {
    const { rows, gradient } = await run(loss, { temperature: 1, mixture: 0.3 }, teacher);
    for (const number of [...rows, ...gradient]) expect(Math.abs(number)).toBeLessThan(1e-6);
  });

  it('stays finite for scores that a plain exponential could not take', async () => {
    const huge = student.map((score) => 500 * score);
    const { rows, gradient } = await run(
      loss,
      { temperature: 1, mixture: 0.1 },
      huge,
      teacher.map((score) => -400 * score),
    );
    for (const number of [...rows, ...gradient]) expect(Number.isFinite(number)).toBe(true);
  });
});

describe('jensen-shannon', () => {
  it('is the divergence in one direction at its ends, where the plain formula vanishes', async () => {
    const settings = { temperature: 1.5, mixture: 0 };
    expect(await run('jensen-shannon', settings)).toEqual(await run('forward-kl', settings));
    expect(await run('jensen-shannon', { ...settings, mixture: 1 })).toEqual(await run('reverse-kl', settings));
  });

  it('is at most ln 2 and symmetric at one half', async () => {
    const settings = { temperature: 1, mixture: 0.5 };
    const far = await run(
      'jensen-shannon',
      settings,
      student.map((score) => 50 * score),
    );
    for (const nats of far.rows) expect(nats).toBeLessThanOrEqual(Math.log(2) + 1e-6);
    const [there, back] = [
      await run('jensen-shannon', settings),
      await run('jensen-shannon', settings, teacher, student),
    ];
    there.rows.forEach((nats, index) => {
      expect(nats).toBeCloseTo(back.rows[index]!, 6);
    });
  });
});

describe('cross-entropy', () => {
  it('is minus the log-probability of the label with the gradient softmax less one', async () => {
    const { rows, gradient } = await run('cross-entropy', { temperature: 3, mixture: 0 });
    const labels = [0, 6, 2];
    labels.forEach((label, index) => {
      const q = softmax(row(student, index), 1);
      expect(rows[index]).toBeCloseTo(-Math.log(q[label]!), 5);
      q.forEach((chance, place) => {
        expect(gradient[index * classes + place]).toBeCloseTo(chance - (place === label ? 1 : 0), 5);
      });
    });
  });
});
