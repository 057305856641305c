import { bothOf, divergence, mixed, rescaled } from './distributions.ts';
import type { DistributionLoss } from './loss.ts';

/** KL(p ‖ λp + (1-λ)q) of teacher p and student q, times T² (Ko et al. 2024, DistiLLM, section 3.1). */
export const skewedForwardKl: DistributionLoss = {
  name: 'skewed-forward-kl',
  summary: 'KL(teacher ‖ mixture), the student mixed with some of the teacher: bounded, calmer gradients',
  needs: 'teacher',
  usualMixture: 0.1,
  rows: (inputs) => {
    const { p, q } = bothOf(inputs);
    const mixture = mixed(inputs.build, p, q, inputs.mixture);
    return rescaled(inputs, divergence(inputs.build, p, mixture.logarithms));
  },
};

/** KL(q ‖ (1-λ)p + λq), times T² (Ko et al. 2024, DistiLLM, section 3.1). */
export const skewedReverseKl: DistributionLoss = {
  name: 'skewed-reverse-kl',
  summary: 'KL(student ‖ mixture), the teacher mixed with some of the student: bounded, calmer gradients',
  needs: 'teacher',
  usualMixture: 0.1,
  rows: (inputs) => {
    const { p, q } = bothOf(inputs);
    const mixture = mixed(inputs.build, q, p, inputs.mixture);
    return rescaled(inputs, divergence(inputs.build, q, mixture.logarithms));
  },
};
