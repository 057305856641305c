import type { FactorMethod } from './method.ts';
import { plainSvd } from './plain-svd.ts';
import { twoSidedSvd } from './two-sided-svd.ts';
import { whitenedSvd } from './whitened-svd.ts';

/** Ways to decompose a matrix, by name. */
export const factorMethods = {
  'two-sided': twoSidedSvd,
  whitened: whitenedSvd,
  plain: plainSvd,
} as const satisfies Record<string, FactorMethod>;

export type FactorMethodName = keyof typeof factorMethods;
