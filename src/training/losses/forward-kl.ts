import { bothOf, divergence, rescaled } from './distributions.ts';
import type { DistributionLoss } from './loss.ts';

/** KL(teacher ‖ student), times T² (Hinton et al. 2015): the student covers everything that the teacher finds likely. */
export const forwardKl: DistributionLoss = {
  name: 'forward-kl',
  summary: 'KL(teacher ‖ student): cover what the teacher finds likely',
  needs: 'teacher',
  rows: (inputs) => {
    const { p, q } = bothOf(inputs);
    return rescaled(inputs, divergence(inputs.build, p, q.logarithms));
  },
};
