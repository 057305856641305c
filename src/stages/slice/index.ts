import type { Stage } from '../stage.ts';
import { rankingOf, type SliceOptions, sliceOptions } from './options.ts';
import { planSlice } from './plan.ts';
import { runSlice } from './run.ts';

/** Fewer channels: heads, neurons, channels of convolutions, whole branches. */
export const sliceStage: Stage<SliceOptions> = {
  name: 'slice',
  summary: 'remove heads, neurons, channels and whole branches, and let what remains make up for them',
  options: sliceOptions,
  needsCalibration: ({ method, measure, compensation, refit, recalibrate }) =>
    measure === 'latency' || rankingOf(method)?.needs !== 'nothing' || compensation !== 'none' || refit || recalibrate,
  plan: planSlice,
  run: runSlice,
};
