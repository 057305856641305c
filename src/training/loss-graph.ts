import { CompressError } from '../errors.ts';
import type { OperatorBuilder } from '../ir/build.ts';
import { intAttribute, type Value } from '../ir/graph.ts';
import { type Shape, tensorType } from '../ir/shape.ts';
import type { FeatureLoss } from './losses/features.ts';
import type { DistributionLoss } from './losses/loss.ts';
import { weightedMean } from './losses/weighted-mean.ts';
import type { LossContext, LossPart } from './step-program.ts';

/** A distribution loss as it is wanted. */
export interface DistributionTerm {
  readonly loss: DistributionLoss;
  readonly weight: number;
  readonly mixture: number;
}

/** A feature loss between a value of the student and one of a teacher. */
export interface FeatureTerm {
  readonly name: string;
  readonly loss: FeatureLoss;
  readonly weight: number;
  /** A value of the student's program, (…, width). */
  readonly student: Value;
  /** Place of the teacher's value among the values that it was opened with. */
  readonly teacherValue: number;
  readonly teacherWidth: number;
  /** Place of the projection (width, teacher's width) among the extra weights; undefined where widths agree. */
  readonly projection: number | undefined;
}

export interface LossPlan {
  /** The student's scores; undefined where only features are compared. */
  readonly scores:
    | { readonly value: Value; readonly kind: 'scores' | 'probabilities' | 'log-probabilities' }
    | undefined;
  readonly distributions: readonly DistributionTerm[];
  readonly temperature: number;
  /** Shares of the teachers, summing to 1. All give scores; features come from the first. */
  readonly teacherShares: readonly number[];
  readonly features: readonly FeatureTerm[];
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

/** Scores before a softmax: its own input where the graph has one, else logarithms. */
const scoresOf = (build: OperatorBuilder, value: Value, kind: string): Value => {
  if (kind !== 'probabilities') return value;
  const softmax = value.producer?.op === 'Softmax' ? value.producer.inputs[0] : undefined;
  return softmax ?? build.call('Log', [build.call('Max', [value, build.scalarLike(1e-30, value)])]);
};

/** Appends the loss that a plan asks for; inputs of `lossInputs` appear as far as they are needed. */
export const buildLoss = (plan: LossPlan, context: LossContext, extras: readonly Value[]): LossPart[] => {
  const { build, input, inStep } = context;
  const parts: LossPart[] = [];
  if (plan.scores && plan.distributions.length > 0) {
    const value = inStep(plan.scores.value);
    const width = widthOf(value);
    const student = asRows(build, scoresOf(build, value, plan.scores.kind), width);
    const labels = input(lossInputs.labels, tensorType('int64', ['rows']));
    const weights = input(lossInputs.rowWeights, tensorType('float32', ['rows']));
    const total = input(lossInputs.rowTotal, tensorType('float32', []));
    const taught = plan.distributions.some(({ loss }) => loss.needs === 'teacher');
    const teachers = taught
      ? plan.teacherShares.map((_, index) => input(lossInputs.scores(index), tensorType('float32', ['rows', width])))
      : [];
    for (const { loss, weight, mixture } of plan.distributions) {
      const of = (teacher: Value): Value =>
        weightedMean(
          build,
          loss.rows({ build, student, teacher, labels, temperature: plan.temperature, mixture }),
          weights,
          total,
        );
      if (loss.needs === 'labels') parts.push({ name: loss.name, value: of(student), weight });
      else
        teachers.forEach((teacher, index) => {
          const name = teachers.length > 1 ? `${loss.name} of teacher ${index}` : loss.name;
          parts.push({ name, value: of(teacher), weight: weight * plan.teacherShares[index]! });
        });
    }
  }
  if (plan.features.length > 0) parts.push(...buildFeatures(plan, context, extras));
  return parts;
};

const buildFeatures = (plan: LossPlan, { build, input, inStep }: LossContext, extras: readonly Value[]): LossPart[] => {
  const presence = input(lossInputs.presence, tensorType('float32', ['positions']));
  const total = input(lossInputs.presenceTotal, tensorType('float32', []));
  return plan.features.map(({ name, loss, weight, student, teacherValue, teacherWidth, projection }) => {
    const own = inStep(student);
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
