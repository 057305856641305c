import { CompressError } from '../errors.ts';
import type { OperatorBuilder } from '../ir/build.ts';
import { intAttribute, type Value } from '../ir/graph.ts';
import { type Shape, tensorType } from '../ir/shape.ts';
import type { FeatureLoss } from './losses/features.ts';
import { keptClasses } from './losses/kept-classes.ts';
import type { DistributionLoss } from './losses/loss.ts';
import { type SquareForm, squareLoss, squareOf } from './losses/square.ts';
import { weightedMean } from './losses/weighted-mean.ts';
import type { LossContext, LossPart } from './step-program.ts';

/** A distribution loss as it is wanted. */
export interface DistributionTerm {
  readonly loss: DistributionLoss;
  readonly weight: number;
  readonly mixture: number;
}

/** Which axis of a value holds the numbers of one vector. */
export type ChannelAxis = 'first' | 'last';

/** A feature loss between a value of the student and one of a teacher. */
export interface FeatureTerm {
  readonly name: string;
  readonly loss: FeatureLoss;
  readonly weight: number;
  /** A value of the student's program, (…, width), or (samples, width, …) for 'first'. */
  readonly student: Value;
  readonly channels: ChannelAxis;
  /** Place of the teacher's value among the values that it was opened with. */
  readonly teacherValue: number;
  readonly teacherWidth: number;
  /** Place of the projection (width, teacher's width) among the extra weights; undefined where widths agree. */
  readonly projection: number | undefined;
}

/** Distributions of positions over positions (attention, relations) of the student that are to be a teacher's. */
export interface SquareTerm {
  readonly name: string;
  readonly weight: number;
  readonly form: SquareForm;
  readonly student: Value;
  /** Place of the teacher's distributions among the values that it was opened with. */
  readonly teacherValue: number;
}

/** A teacher as the loss sees it. */
export interface TaughtBy {
  /** Shares of all teachers sum to 1. */
  readonly share: number;
  /** How many of the greatest chances it gives, where it does not give all scores. */
  readonly kept: number | undefined;
}

/** What the numbers of an output of classes are. */
export type ScoreKind = 'scores' | 'probabilities' | 'log-probabilities';

export interface LossPlan {
  /** The student's scores; undefined where only features are compared. */
  readonly scores: { readonly value: Value; readonly kind: ScoreKind } | undefined;
  /** Classes that are compared: the first ones, where one of the models has more. */
  readonly classes: number | undefined;
  readonly distributions: readonly DistributionTerm[];
  readonly temperature: number;
  /** All give scores; features come from the first. */
  readonly teachers: readonly TaughtBy[];
  readonly features: readonly FeatureTerm[];
  readonly squares: readonly SquareTerm[];
  /** Whether samples are windows: vectors of rank 3 are then one for each position. */
  readonly windows: boolean;
}

/** Names of the inputs that a batch fills. */
export const lossInputs = {
  labels: 'train/labels',
  rowWeights: 'train/row-weights',
  rowTotal: 'train/row-total',
  presence: 'train/presence',
  presenceTotal: 'train/presence-total',
  /** Of whole windows: (samples, positions). */
  presenceMatrix: 'train/presence-matrix',
  square: (value: number): string => `train/teacher-0/square-${value}`,
  classes: (teacher: number): string => `train/teacher-${teacher}/classes`,
  scores: (teacher: number): string => `train/teacher-${teacher}/scores`,
  feature: (value: number): string => `train/teacher-0/value-${value}`,
} as const;

const shapeOf = (value: Value): Shape | undefined => (value.type?.kind === 'tensor' ? value.type.shape : undefined);

/** Length of the last axis that is not 1. @throws 'unsupported' where it is not known. */
export const widthOf = (value: Value): number => {
  const shape = [...(shapeOf(value) ?? [])];
  while (shape.length > 2 && shape.at(-1) === 1) shape.pop();
  const width = shape.at(-1);
  if (typeof width === 'number') return width;
  throw new CompressError({
    code: 'unsupported',
    message: `the width of ${value.name} is not known, so nothing can be compared with it`,
    where: { tensor: value.name },
    hint: 'Give the model outputs with a fixed last dimension.',
  });
};

const asRows = (build: OperatorBuilder, value: Value, width: number): Value =>
  build.typed(build.reshape(value, build.integers([-1, width])), tensorType('float32', [null, width]));

/** A value with the numbers of its vectors along the last axis. @throws 'unsupported' where its rank is not known. */
export const vectorsOf = (build: OperatorBuilder, value: Value, channels: ChannelAxis): Value => {
  const shape = shapeOf(value);
  if (channels === 'last' || (shape && shape.length < 3)) return value;
  if (!shape)
    throw new CompressError({
      code: 'unsupported',
      message: `the shape of ${value.name} is not known, so its channels cannot be told`,
      where: { tensor: value.name },
    });
  const order = [0, ...shape.slice(2).map((_, index) => index + 2), 1];
  return build.typed(
    build.transpose(value, order),
    tensorType(
      'float32',
      order.map((axis) => shape[axis]!),
    ),
  );
};

/** Scores before a softmax: its own input where the graph has one, else logarithms. */
export const logitsOf = (build: OperatorBuilder, value: Value, kind: ScoreKind): Value => {
  if (kind !== 'probabilities') return value;
  const softmax = value.producer?.op === 'Softmax' ? value.producer.inputs[0] : undefined;
  return (
    softmax ?? build.typed(build.call('Log', [build.call('Max', [value, build.scalarLike(1e-30, value)])]), value.type)
  );
};

/** Scores of the first classes as rows; as they are where there are no more. */
export const firstClasses = (build: OperatorBuilder, scores: Value, classes: number): Value => {
  const width = widthOf(scores);
  if (width === classes) return scores;
  const [zero, end, last] = [[0], [classes], [-1]].map((numbers) => build.integers(numbers));
  const sliced = build.call('Slice', [asRows(build, scores, width), zero, end, last]);
  return build.typed(sliced, tensorType('float32', [null, classes]));
};

/** Appends the loss that a plan asks for; inputs of `lossInputs` appear as far as they are needed. */
export const buildLoss = (plan: LossPlan, context: LossContext, extras: readonly Value[]): LossPart[] => {
  const { build, input, inStep } = context;
  const parts: LossPart[] = [];
  if (plan.scores && plan.distributions.length > 0) {
    const value = inStep(plan.scores.value);
    const width = plan.classes ?? widthOf(value);
    const logits = logitsOf(build, value, plan.scores.kind);
    const student = asRows(build, firstClasses(build, logits, width), width);
    const labels = input(lossInputs.labels, tensorType('int64', ['rows']));
    const weights = input(lossInputs.rowWeights, tensorType('float32', ['rows']));
    const total = input(lossInputs.rowTotal, tensorType('float32', []));
    const taught = plan.distributions.some(({ loss }) => loss.needs === 'teacher');
    const whole = { student, teacher: student, temperature: plan.temperature };
    const compared = taught
      ? plan.teachers.map((teacher, index) => comparedWith(plan, context, { index, ...teacher }, student, width))
      : [];
    for (const { loss, weight, mixture } of plan.distributions) {
      const of = (pair: typeof whole): Value =>
        weightedMean(build, loss.rows({ build, labels, mixture, ...pair }), weights, total);
      if (loss.needs === 'labels') parts.push({ name: loss.name, value: of(whole), weight });
      else
        compared.forEach(({ share, factor, ...pair }, index) => {
          const name = compared.length > 1 ? `${loss.name} of teacher ${index}` : loss.name;
          parts.push({ name, value: of(pair), weight: weight * share * factor });
        });
    }
  }
  const presenceTotal =
    plan.squares.length + plan.features.length > 0
      ? input(lossInputs.presenceTotal, tensorType('float32', []))
      : undefined;
  if (presenceTotal && plan.squares.length > 0) parts.push(...buildSquares(plan, context, presenceTotal));
  if (presenceTotal && plan.features.length > 0) parts.push(...buildFeatures(plan, context, extras, presenceTotal));
  return parts;
};

/**
 * Scores of the student and of a teacher over the same classes: all, or those that the teacher kept and one for the
 * rest. What was kept is softened already, so that the factor T² is left to the weight.
 */
const comparedWith = (
  plan: LossPlan,
  { build, input }: LossContext,
  { index, share, kept }: TaughtBy & { readonly index: number },
  student: Value,
  classCount: number,
) => {
  const { temperature } = plan;
  const width = kept === undefined ? classCount : kept + 1;
  const teacher = input(lossInputs.scores(index), tensorType('float32', ['rows', width]));
  if (kept === undefined) return { student, teacher, temperature, share, factor: 1 };
  const classes = input(lossInputs.classes(index), tensorType('int64', ['rows', kept]));
  const reduced = keptClasses(build, student, classes, { kept, temperature });
  return { student: reduced, teacher, temperature: 1, share, factor: temperature ** 2 };
};

const buildSquares = (plan: LossPlan, { build, input, inStep }: LossContext, total: Value): LossPart[] => {
  const presence = input(lossInputs.presenceMatrix, tensorType('float32', ['samples', 'length']));
  return plan.squares.map(({ name, weight, form, student, teacherValue }) => {
    const own = squareOf(build, inStep(student), form);
    const teacher = input(
      lossInputs.square(teacherValue),
      tensorType('float32', ['samples', 'heads', 'length', 'length']),
    );
    return { name, weight, value: squareLoss(build, own, teacher, [presence, total]) };
  });
};

const buildFeatures = (
  plan: LossPlan,
  { build, input, inStep }: LossContext,
  extras: readonly Value[],
  total: Value,
): LossPart[] => {
  const presence = input(lossInputs.presence, tensorType('float32', ['positions']));
  return plan.features.map(({ name, loss, weight, student, channels, teacherValue, teacherWidth, projection }) => {
    const own = vectorsOf(build, inStep(student), channels);
    const rows = asRows(build, own, widthOf(own));
    const matrix = projection === undefined ? undefined : extras[projection];
    const projected = matrix
      ? build.typed(build.call('MatMul', [rows, matrix]), tensorType('float32', [null, teacherWidth]))
      : rows;
    const teacher = input(lossInputs.feature(teacherValue), tensorType('float32', [null, teacherWidth]));
    const distances = loss.rows({ build, student: projected, teacher });
    return { name, weight, value: featureMean(build, own, distances, [presence, total], plan.windows) };
  });
};

/**
 * Mean over present positions of windows; over all vectors otherwise, times the batch's share of the total, so that
 * parts of a batch add up.
 */
const featureMean = (
  build: OperatorBuilder,
  own: Value,
  distances: Value,
  [presence, total]: readonly [Value, Value],
  windows: boolean,
): Value => {
  if (windows && shapeOf(own)?.length === 3) return weightedMean(build, distances, presence, total);
  const mean = build.call('ReduceMean', [distances], { keepdims: intAttribute(0) });
  const share = build.divide(build.call('ReduceSum', [presence], { keepdims: intAttribute(0) }), total);
  return build.multiply(mean, share);
};
