import { bothOf, divergence, mixed, rescaled } from './distributions.ts';
import { forwardKl } from './forward-kl.ts';
import type { DistributionLoss } from './loss.ts';
import { reverseKl } from './reverse-kl.ts';

/**
 * Generalised Jensen-Shannon divergence β KL(p ‖ m) + (1-β) KL(q ‖ m) with m = βp + (1-β)q, times T² (Agarwal et al.
 * 2024, GKD, section 2). It vanishes for β → 0 and β → 1; there it is its own limit divided by β, which is KL(p ‖ q), or
 * by 1-β, which is KL(q ‖ p).
 */
export const jensenShannon: DistributionLoss = {
  name: 'jensen-shannon',
  summary: 'divergence of both from their mixture; mixture 0 is forward-kl, 1 reverse-kl',
  needs: 'teacher',
  usualMixture: 0.5,
  rows: (inputs) => {
    const { build, mixture: beta } = inputs;
    if (beta === 0) return forwardKl.rows(inputs);
    if (beta === 1) return reverseKl.rows(inputs);
    const { p, q } = bothOf(inputs);
    const m = mixed(build, p, q, beta);
    const fromTeacher = build.scale(divergence(build, p, m.logarithms), beta);
    const fromStudent = build.scale(divergence(build, q, m.logarithms), 1 - beta);
    return rescaled(inputs, build.add(fromTeacher, fromStudent));
  },
};
