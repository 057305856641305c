import type { OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, intsAttribute, type Value } from '../../ir/graph.ts';
import { tensorType } from '../../ir/shape.ts';

/** What a loss between feature vectors is computed from, float32. */
export interface FeatureInputs {
  readonly build: OperatorBuilder;
  /** (rows, width), projected to the teacher's width where they differ. */
  readonly student: Value;
  /** (rows, width). */
  readonly teacher: Value;
}

/** A loss between feature vectors, vector by vector: the result is (rows). */
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

const contrast = 0.1;

/** Vectors scaled to length 1. */
const unit = (build: OperatorBuilder, value: Value): Value => {
  const squares = build.call('ReduceSumSquare', [value, build.integers([-1])], { keepdims: intAttribute(1) });
  return build.divide(value, build.call('Sqrt', [build.call('Max', [squares, build.scalarLike(smallest, value)])]));
};

/**
 * -log of the chance that the student's vector picks its own teacher's vector among those of the batch, by
 * softmax(cos / 0.1) (van den Oord et al. 2018, InfoNCE; Tian et al. 2020, CRD). Needs batches of several vectors, run at
 * once: other parts of a batch are no counterexamples.
 */
const contrastive: FeatureLoss = {
  name: 'contrastive',
  summary: 'tell the teacher’s vector of a sample from those of the others in the batch',
  rows: ({ build, student, teacher }) => {
    const [own, others] = [unit(build, student), unit(build, teacher)];
    const turned = build.call('Transpose', [others], { perm: intsAttribute([1, 0]) });
    const similar = build.typed(build.scale(build.call('MatMul', [own, turned]), 1 / contrast), pairs);
    const all = build.call('ReduceLogSumExp', [similar, build.integers([-1])], keep);
    return build.subtract(all, build.scale(build.sumOver(build.multiply(own, others), [-1], 'drop'), 1 / contrast));
  },
};

const pairs = tensorType('float32', [null, null]);

/** Every loss between feature vectors. */
export const featureLosses = { mse: relativeSquares, cosine: cosineDistance, contrastive } as const;

export type FeatureLossName = keyof typeof featureLosses;
