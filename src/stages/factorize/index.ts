import type { Stage } from '../stage.ts';
import { type FactorizeOptions, factorizeOptions } from './options.ts';
import { planFactorize } from './plan.ts';
import { runFactorize } from './run.ts';

/** Low rank: weights as products of two smaller ones. */
export const factorizeStage: Stage<FactorizeOptions> = {
  name: 'factorize',
  summary: 'write weights as products of smaller ones, ranks chosen by predicted loss under one budget',
  options: factorizeOptions,
  needsCalibration: () => true,
  plan: planFactorize,
  run: runFactorize,
};
