import { adamwStep } from '../../kernels/index.ts';
import type { GroupRange, ParameterSet } from '../parameters.ts';
import {
  decayOf,
  gradientsOf,
  type OptimizerCard,
  type OptimizerSettings,
  rateOf,
  type StepFacts,
} from './optimizer.ts';

/** One AdamW step of a group of parameters; `first` and `second` are as long as all parameters. */
export const adamwGroup = (
  range: GroupRange,
  parameters: ParameterSet,
  gradients: readonly Float32Array[],
  states: readonly [first: Float32Array, second: Float32Array],
  facts: StepFacts,
  settings: OptimizerSettings,
): void => {
  const { begin, end } = range;
  const { beta1, beta2, epsilon } = settings;
  adamwStep({
    parameters: parameters.values.subarray(begin, end),
    gradients: gradientsOf(range, parameters, gradients),
    first: states[0].subarray(begin, end),
    second: states[1].subarray(begin, end),
    learningRate: rateOf(range, facts, settings),
    weightDecay: decayOf(range, settings),
    gradientScale: facts.gradientScale,
    beta1,
    beta2,
    epsilon,
    step: facts.step,
  });
};

/** AdamW (Loshchilov, Hutter 2019). */
export const adamw: OptimizerCard = {
  name: 'adamw',
  summary: 'Adam with decoupled weight decay: two states a parameter',
  create: (parameters, settings) => {
    const states = [new Float32Array(parameters.length), new Float32Array(parameters.length)] as const;
    return {
      states,
      step: (gradients, facts) => {
        for (const range of parameters.groups) adamwGroup(range, parameters, gradients, states, facts, settings);
      },
    };
  },
};
