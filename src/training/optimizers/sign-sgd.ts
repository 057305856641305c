import { signStep } from '../../kernels/index.ts';
import { decayOf, gradientsOf, type OptimizerCard, rateOf } from './optimizer.ts';

/** SignSGD with momentum (Bernstein et al. 2018). */
export const signSgd: OptimizerCard = {
  name: 'sign-sgd',
  summary: 'steps of equal length against the sign of the mean gradient: one state a parameter',
  create: (parameters, settings) => {
    const state = new Float32Array(parameters.length);
    return {
      states: [state],
      step: (gradients, facts) => {
        for (const range of parameters.groups)
          signStep({
            parameters: parameters.values.subarray(range.begin, range.end),
            gradients: gradientsOf(range, parameters, gradients),
            state: state.subarray(range.begin, range.end),
            learningRate: rateOf(range, facts, settings),
            weightDecay: decayOf(range, settings),
            gradientScale: facts.gradientScale,
            momentum: settings.momentum,
          });
      },
    };
  },
};
