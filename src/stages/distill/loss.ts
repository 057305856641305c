import { CompressError } from '../../errors.ts';
import type { Program, Value } from '../../ir/graph.ts';
import { Random } from '../../random.ts';
import { inheritedLayers, layerStates, spreadLayers } from '../../training/layers.ts';
import { type FeatureTerm, type LossPlan, widthOf } from '../../training/loss-graph.ts';
import { featureLosses } from '../../training/losses/features.ts';
import { distributionLosses } from '../../training/losses/table.ts';
import { plainWeight } from '../../training/weights/plain.ts';
import type { TrainedWeight } from '../../training/weights/weight.ts';
import type { DistillOptions, HiddenWish } from './options.ts';
import { namedValue, scoresOf, type TeacherModel } from './teachers.ts';

/** The loss of a run, and what it needs beside the student. */
export interface LossSetup {
  readonly plan: LossPlan;
  /** Projections of student vectors to the teacher's width. */
  readonly extra: readonly TrainedWeight[];
  /** Values that each teacher is asked for. */
  readonly teacherValues: readonly (readonly Value[])[];
}

export interface LossRequest {
  readonly student: Program;
  readonly teachers: readonly TeacherModel[];
  readonly options: DistillOptions;
  /** Whether samples are windows of tokens. */
  readonly windows: boolean;
  readonly seed: number;
}

/** @throws 'mismatch' with both sizes when scores cannot be compared. */
const checkVocabularies = (student: Value, teacher: Value, origin: string): void => {
  const own = widthOf(student);
  const other = widthOf(teacher);
  if (own === other) return;
  throw new CompressError({
    code: 'mismatch',
    message: `the student scores ${own} classes and the teacher ${origin} scores ${other}, so their distributions cannot be compared`,
    where: { key: 'teacher' },
    hint: 'Take a teacher with the same vocabulary, or learn from hidden states or labels only (losses).',
  });
};

/** Pairs of student and teacher states that are to be alike. */
const hiddenPairs = (
  { student, teachers, options }: LossRequest,
  wish: HiddenWish,
): { readonly name: string; readonly student: Value; readonly teacher: Value }[] => {
  const own = layerStates(student);
  const taught = layerStates(teachers[0]!.program);
  if (own.length === 0 || taught.length === 0)
    throw new CompressError({
      code: 'unsupported',
      message: `the layers of the ${own.length === 0 ? 'student' : 'teacher'} are not known, so hidden states cannot be compared`,
      where: { key: 'losses.hidden' },
      hint: 'Use checkpoint folders, or name values (losses: { features: […] }).',
    });
  const usual = options.layers
    ? inheritedLayers(options.layers, taught.length)
    : spreadLayers(own.length, taught.length);
  const map = wish.layers ?? usual.map((teacher, index) => [index, teacher] as const);
  return map.map(([index, place]) => {
    const state = own[index];
    const target = taught[place];
    if (state && target) return { name: `hidden ${index}`, student: state.output, teacher: target.output };
    throw new CompressError({
      code: 'usage',
      message: `there is no student layer ${index} with a teacher layer ${place}: they have ${own.length} and ${taught.length}`,
      where: { key: 'losses.hidden.layers' },
    });
  });
};

/** A projection that begins near a part of the identity. */
const projection = (name: string, from: number, to: number, seed: number): TrainedWeight => {
  const initial = new Random(seed, name).normals(from * to, 0.02 / Math.sqrt(from));
  for (let index = 0; index < Math.min(from, to); index++) initial[index * to + index]! += 1;
  return plainWeight(name, [from, to], initial, 'matrix');
};

/** Decides what is compared with what. @throws 'mismatch', 'not-found', 'unsupported', 'usage' for what cannot be. */
export const setUpLoss = (request: LossRequest): LossSetup => {
  const { student, teachers, options, windows, seed } = request;
  const compares = options.distributions.length > 0;
  const taught = options.distributions.some(({ name }) => distributionLosses[name].needs === 'teacher');
  const scores = compares ? scoresOf(student, 'student') : undefined;
  const teacherValues = teachers.map(({ program, origin }): Value[] => {
    if (!taught || !scores) return [];
    const found = scoresOf(program, `teacher ${origin}`);
    checkVocabularies(scores.value, found.value, origin);
    return [found.value];
  });
  const firstValues = teacherValues[0]!;
  const extra: TrainedWeight[] = [];
  const features: FeatureTerm[] = [];
  const addFeature = (
    name: string,
    own: Value,
    target: Value,
    wish: { readonly loss: keyof typeof featureLosses; readonly weight: number },
  ): void => {
    const [width, teacherWidth] = [widthOf(own), widthOf(target)];
    if (!firstValues.includes(target)) firstValues.push(target);
    if (width !== teacherWidth) extra.push(projection(`projection of ${name}`, width, teacherWidth, seed));
    features.push({
      name,
      loss: featureLosses[wish.loss],
      weight: wish.weight,
      student: own,
      teacherValue: firstValues.indexOf(target),
      teacherWidth,
      projection: width === teacherWidth ? undefined : extra.length - 1,
    });
  };
  const { hidden } = options;
  if (hidden) {
    const pairs = hiddenPairs(request, hidden);
    const weight = hidden.weight / pairs.length;
    for (const pair of pairs) addFeature(pair.name, pair.student, pair.teacher, { ...hidden, weight });
  }
  for (const feature of options.features) {
    const own = namedValue(student, feature.student, 'student');
    addFeature(feature.student, own, namedValue(teachers[0]!.program, feature.teacher, 'teacher'), feature);
  }
  const plan: LossPlan = {
    scores,
    distributions: options.distributions.map(({ name, weight, mixture }) => ({
      loss: distributionLosses[name],
      weight,
      mixture,
    })),
    temperature: options.temperature,
    teacherShares: teachers.map(({ share }) => share),
    features,
    windows,
  };
  return { plan, extra, teacherValues };
};
