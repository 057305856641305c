import { adamwStep } from '../../kernels/index.ts';
import type { ParameterSet } from '../parameters.ts';
import { type OptimizerCard, type OptimizerSettings, type StepFacts, type StepRun, stepRuns } from './optimizer.ts';

/** One AdamW step of a run of parameters; `first` and `second` are as long as all parameters. */
export const adamwRun = (
  run: StepRun,
  parameters: ParameterSet,
  [first, second]: readonly [first: Float32Array, second: Float32Array],
  { step, gradientScale }: StepFacts,
  { beta1, beta2, epsilon }: OptimizerSettings,
): void => {
  const { begin, end, gradients, learningRate, weightDecay } = run;
  adamwStep({
    parameters: parameters.values.subarray(begin, end),
    gradients,
    first: first.subarray(begin, end),
    second: second.subarray(begin, end),
    learningRate,
    weightDecay,
    gradientScale,
    beta1,
    beta2,
    epsilon,
    step,
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
        for (const run of stepRuns(parameters, gradients, facts, settings))
          adamwRun(run, parameters, states, facts, settings);
      },
    };
  },
};
