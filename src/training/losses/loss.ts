import type { OperatorBuilder } from '../../ir/build.ts';
import type { Value } from '../../ir/graph.ts';

/** What a loss between distributions is computed from. Everything is float32 but the labels. */
export interface DistributionInputs {
  readonly build: OperatorBuilder;
  /** Scores of the student before a softmax: (rows, classes). */
  readonly student: Value;
  /** Scores of the teacher: (rows, classes). */
  readonly teacher: Value;
  /** (rows) int64. */
  readonly labels: Value;
  /** Both distributions are softened by it: softmax(scores / temperature). Above 0. */
  readonly temperature: number;
  /** Share of the other distribution in a mixture, 0..1, for the losses that have one. */
  readonly mixture: number;
}

/** A loss that compares a distribution over classes with the teacher's or with labels, row by row. */
export interface DistributionLoss {
  readonly name: string;
  readonly summary: string;
  readonly needs: 'teacher' | 'labels';
  /** `mixture` where it is not said; absent for losses without one. */
  readonly usualMixture?: number;
  /** Nats of each row: (rows). */
  rows(inputs: DistributionInputs): Value;
}
