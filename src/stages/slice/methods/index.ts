import { fisher, flap, leverage, taylor, wanda } from './activations.ts';
import { magnitude } from './magnitude.ts';
import type { RankingMethod } from './method.ts';
import { obs } from './obs.ts';
import { synflow } from './synflow.ts';

/** Every way to rank channels, by the name that recipes use. */
export const rankingMethods = {
  obs,
  fisher,
  taylor,
  flap,
  leverage,
  wanda,
  magnitude,
  synflow,
} as const satisfies Readonly<Record<string, RankingMethod>>;

export type RankingMethodName = keyof typeof rankingMethods;
