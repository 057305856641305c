import { bothOf, divergence, rescaled } from './distributions.ts';
import type { DistributionLoss } from './loss.ts';

/** KL(student ‖ teacher), times T² (Gu et al. 2024, MiniLLM): the student avoids what the teacher finds unlikely. */
export const reverseKl: DistributionLoss = {
  name: 'reverse-kl',
  summary: 'KL(student ‖ teacher): avoid what the teacher finds unlikely',
  needs: 'teacher',
  rows: (inputs) => {
    const { p, q } = bothOf(inputs);
    return rescaled(inputs, divergence(inputs.build, q, p.logarithms));
  },
};
