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
  /**
   * 'absolute': every parameter has the schedule's learning rate. 'relative': times its own unit, so that small and
   * large weights change by the same share (as Adafactor's relative steps, Shazeer, Stern 2018, section 8).
   */
  readonly stepSize: 'absolute' | 'relative';
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

/** A run of parameters that one kernel call changes. */
export interface StepRun extends GroupRange {
  readonly gradients: readonly Float32Array[];
  readonly learningRate: number;
  readonly weightDecay: number;
}

/** The runs of a step: whole groups where all rates are equal, else one for each parameter. */
export const stepRuns = (
  parameters: ParameterSet,
  gradients: readonly Float32Array[],
  facts: StepFacts,
  settings: OptimizerSettings,
): StepRun[] => {
  const { entries, groups } = parameters;
  const relative = settings.stepSize === 'relative';
  const ranges = relative
    ? entries.map((entry) => ({
        group: entry.group,
        begin: entry.offset,
        end: entry.offset + entry.length,
        parameters: [entry],
      }))
    : groups;
  return ranges.map((range) => {
    const first = entries.indexOf(range.parameters[0]!);
    return {
      ...range,
      gradients: gradients.slice(first, first + range.parameters.length),
      learningRate: facts.learningRate * (relative ? range.parameters[0]!.unit : 1),
      weightDecay: range.group === 'matrix' ? settings.weightDecay : 0,
    };
  });
};
