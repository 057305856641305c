import { CompressError } from '../../errors.ts';
import { OperatorBuilder } from '../../ir/build.ts';
import type { Value } from '../../ir/graph.ts';
import { firstClasses, type LossPlan, logitsOf, widthOf } from '../../training/loss-graph.ts';
import { distributionLosses } from '../../training/losses/table.ts';
import type { TrainedWeight } from '../../training/weights/weight.ts';
import { addInnerTerms, InnerTerms, type LossRequest } from './inner-terms.ts';
import type { DistillOptions } from './options.ts';
import { scoresOf, type TeacherSource } from './teachers.ts';

/** The loss of a run, and what it needs beside the student. */
export interface LossSetup {
  readonly plan: LossPlan;
  /** Projections of student vectors to the teacher's width. */
  readonly extra: readonly TrainedWeight[];
  /** Values that each teacher is asked for. */
  readonly teacherValues: readonly (readonly Value[])[];
}

/** @throws 'mismatch' with both sizes when scores cannot be compared. */
const checkVocabularies = (own: number, other: number, origin: string, { vocabulary }: DistillOptions): void => {
  if (own === other || vocabulary === 'shared') return;
  throw new CompressError({
    code: 'mismatch',
    message: `the student scores ${own} classes and the teacher ${origin} scores ${other}, so their distributions cannot be compared`,
    where: { key: 'teacher' },
    hint: 'Take a teacher with the same vocabulary, learn from hidden states or labels only (losses), or, where one vocabulary only goes on beyond the other (padding), compare what both have (vocabulary: shared).',
  });
};

/** Leaves teachers the classes that all have. Scores come first among what each is asked for. */
const cutToClasses = (
  teachers: readonly TeacherSource[],
  teacherValues: readonly (readonly Value[])[],
  classes: number,
): void => {
  teachers.forEach((teacher, index) => {
    const values = teacherValues[index] as Value[];
    if (teacher.kind === 'model' && values[0])
      values[0] = firstClasses(new OperatorBuilder(teacher.program.graph, 'teach/shared'), values[0], classes);
  });
};

/** Decides what is compared with what. @throws 'mismatch', 'not-found', 'unsupported', 'usage' for what cannot be. */
export const setUpLoss = (request: LossRequest): LossSetup => {
  const { student, teachers, options, windows } = request;
  const compares = options.distributions.length > 0;
  const taught = options.distributions.some(({ name }) => distributionLosses[name].needs === 'teacher');
  const scores = compares ? scoresOf(student, 'student') : undefined;
  const teacherValues = teachers.map((): Value[] => []);
  const terms = new InnerTerms(request, teacherValues[0]!);
  let classes: number | undefined;
  teachers.forEach((teacher, index) => {
    if (!taught || !scores) return;
    if (teacher.kind === 'captured') {
      checkVocabularies(widthOf(scores.value), teacher.capture.classes, teacher.origin, {
        ...options,
        vocabulary: 'same',
      });
      return;
    }
    const found = scoresOf(teacher.program, `teacher ${teacher.origin}`);
    checkVocabularies(widthOf(scores.value), widthOf(found.value), teacher.origin, options);
    classes = Math.min(classes ?? widthOf(scores.value), widthOf(found.value));
    const build = new OperatorBuilder(teacher.program.graph, 'teach');
    teacherValues[index]!.push(logitsOf(build, found.value, found.kind));
  });
  if (classes !== undefined && scores) {
    for (const { kind, origin } of teachers)
      if (kind === 'captured')
        checkVocabularies(classes, widthOf(scores.value), origin, { ...options, vocabulary: 'same' });
    cutToClasses(teachers, teacherValues, classes);
  }
  addInnerTerms(terms, request);
  const plan: LossPlan = {
    scores,
    classes,
    distributions: options.distributions.map(({ name, weight, mixture }) => ({
      loss: distributionLosses[name],
      weight,
      mixture,
    })),
    temperature: options.temperature,
    teachers: teachers.map((teacher) => ({
      share: teacher.share,
      kept: teacher.kind === 'captured' ? teacher.capture.kept : undefined,
    })),
    features: terms.features,
    squares: terms.squares,
    windows,
  };
  return { plan, extra: terms.extra, teacherValues };
};
