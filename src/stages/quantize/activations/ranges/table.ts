import { entropy } from './entropy.ts';
import { meanSquare } from './mean-square.ts';
import { minMax } from './min-max.ts';
import { percentile } from './percentile.ts';
import type { RangeMethod } from './range-method.ts';

/** Names of the range methods, as recipes write them. */
export const rangeMethodNames = ['minmax', 'percentile', 'entropy', 'mse'] as const;

/** Every range method. */
export const rangeMethods: Readonly<Record<(typeof rangeMethodNames)[number], RangeMethod>> = {
  minmax: minMax,
  percentile,
  entropy,
  mse: meanSquare,
};
