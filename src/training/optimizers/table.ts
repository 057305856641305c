import { adamw } from './adamw.ts';
import { muon } from './muon.ts';
import type { OptimizerCard } from './optimizer.ts';
import { signSgd } from './sign-sgd.ts';

/** Every optimizer, by the name that recipes use. */
export const optimizers = {
  adamw,
  muon,
  'sign-sgd': signSgd,
} as const satisfies Readonly<Record<string, OptimizerCard>>;

export type OptimizerName = keyof typeof optimizers;
