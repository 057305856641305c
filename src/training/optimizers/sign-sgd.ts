import { signStep } from '../../kernels/index.ts';
import { type OptimizerCard, stepRuns } from './optimizer.ts';

/** SignSGD with momentum (Bernstein et al. 2018). */
export const signSgd: OptimizerCard = {
  name: 'sign-sgd',
  summary: 'steps of equal length against the sign of the mean gradient: one state a parameter',
  create: (parameters, settings) => {
    const state = new Float32Array(parameters.length);
    return {
      states: [state],
      step: (gradients, facts) => {
        for (const { begin, end, ...run } of stepRuns(parameters, gradients, facts, settings))
          signStep({
            parameters: parameters.values.subarray(begin, end),
            gradients: run.gradients,
            state: state.subarray(begin, end),
            learningRate: run.learningRate,
            weightDecay: run.weightDecay,
            gradientScale: facts.gradientScale,
            momentum: settings.momentum,
          });
      },
    };
  },
};
