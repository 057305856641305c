import { crossEntropyLoss } from './cross-entropy.ts';
import { forwardKl } from './forward-kl.ts';
import { jensenShannon } from './jensen-shannon.ts';
import type { DistributionLoss } from './loss.ts';
import { reverseKl } from './reverse-kl.ts';
import { skewedForwardKl, skewedReverseKl } from './skewed-kl.ts';

/** Every loss between distributions, by the name that recipes use. */
export const distributionLosses = {
  'forward-kl': forwardKl,
  'reverse-kl': reverseKl,
  'skewed-forward-kl': skewedForwardKl,
  'skewed-reverse-kl': skewedReverseKl,
  'jensen-shannon': jensenShannon,
  'cross-entropy': crossEntropyLoss,
} as const satisfies Readonly<Record<string, DistributionLoss>>;

export type DistributionLossName = keyof typeof distributionLosses;
