import type { OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, type Value } from '../../ir/graph.ts';

/** What a loss between feature vectors is computed from, float32. */
export interface FeatureInputs {
  readonly build: OperatorBuilder;
  /** (…, width), projected to the teacher's width where they differ. */
  readonly student: Value;
  /** (…, width). */
  readonly teacher: Value;
}

/** A loss between feature vectors, vector by vector: the result has the shape without the last axis. */
export interface FeatureLoss {
  readonly name: string;
  readonly summary: string;
  rows(inputs: FeatureInputs): Value;
}

const keep = { keepdims: intAttribute(0) };
const smallest = 1e-12;

const sumOfSquares = (build: OperatorBuilder, value: Value): Value =>
  build.call('ReduceSumSquare', [value, build.integers([-1])], keep);

/** |s - t|² / |t|²: the squared error relative to the teacher's vector (hidden states: Jiao et al. 2020, TinyBERT). */
const relativeSquares: FeatureLoss = {
  name: 'mse',
  summary: 'squared error, relative to the square of the teacher’s vector',
  rows: ({ build, student, teacher }) => {
    const size = build.call('Max', [sumOfSquares(build, teacher), build.scalarLike(smallest, teacher)]);
    return build.divide(sumOfSquares(build, build.subtract(student, teacher)), size);
  },
};

/** 1 - cos(s, t). */
const cosineDistance: FeatureLoss = {
  name: 'cosine',
  summary: 'one less the cosine between the vectors',
  rows: ({ build, student, teacher }) => {
    const dot = build.sumOver(build.multiply(student, teacher), [-1], 'drop');
    const squares = build.multiply(sumOfSquares(build, student), sumOfSquares(build, teacher));
    const length = build.call('Sqrt', [build.call('Max', [squares, build.scalarLike(smallest, student)])]);
    return build.subtract(build.scalarLike(1, student), build.divide(dot, length));
  },
};

/** Every loss between feature vectors. */
export const featureLosses = { mse: relativeSquares, cosine: cosineDistance } as const;

export type FeatureLossName = keyof typeof featureLosses;
