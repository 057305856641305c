import type { GroupRange, ParameterSet } from '../parameters.ts';

/** What an optimizer is told at a step. */
export interface StepFacts {
  /** Number of the step, from 1. */
  readonly step: number;
  /** The schedule's learning rate. */
  readonly learningRate: number;
  /** What gradients are multiplied with: the factor of clipping. */
  readonly gradientScale: number;
}

/** Numbers that are the same at every step. */
export interface OptimizerSettings {
  /** Of the 'matrix' group; the others never decay. */
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Of Muon and SignSGD. */
  readonly momentum: number;
  /** Learning rate of the 'scale' group as a multiple of the schedule's. */
  readonly scaleRate: number;
}

/** Changes parameters by their gradients. Its whole memory is in `states`, so that training can go on elsewhere. */
export interface Optimizer {
  /** Buffers as long as the parameters, changed in place by `step`. */
  readonly states: readonly Float32Array[];
  /** @param gradients by parameter, in the order of `parameters.entries`. */
  step(gradients: readonly Float32Array[], facts: StepFacts): void;
}

export interface OptimizerCard {
  readonly name: string;
  readonly summary: string;
  create(parameters: ParameterSet, settings: OptimizerSettings): Optimizer;
}

/** Gradients of the parameters of a group. */
export const gradientsOf = (
  { parameters: members }: GroupRange,
  parameters: ParameterSet,
  gradients: readonly Float32Array[],
): Float32Array[] => {
  const first = parameters.entries.indexOf(members[0]!);
  return gradients.slice(first, first + members.length);
};

/** Learning rate of a group at a step. */
export const rateOf = ({ group }: GroupRange, facts: StepFacts, settings: OptimizerSettings): number =>
  group === 'scale' ? facts.learningRate * settings.scaleRate : facts.learningRate;

/** Weight decay of a group. */
export const decayOf = ({ group }: GroupRange, settings: OptimizerSettings): number =>
  group === 'matrix' ? settings.weightDecay : 0;
