import type { Stage } from '../stage.ts';
import { looksAtData, rankingOf, type SliceOptions, sliceOptions } from './options.ts';
import { planSlice } from './plan.ts';
import { selectSlice } from './select-method.ts';

/** Fewer channels: heads, neurons, channels of convolutions, whole branches. */
export const sliceStage: Stage<SliceOptions> = {
  name: 'slice',
  summary: 'remove heads, neurons, channels and whole branches, and let what remains make up for them',
  options: sliceOptions,
  needsCalibration: ({ method, measure, compensation, refit, recalibrate, candidates }) => {
    const ranking = rankingOf(method);
    const looks = ranking === undefined || looksAtData(ranking) || candidates.length > 0;
    return looks || measure === 'latency' || compensation !== 'none' || refit || recalibrate;
  },
  plan: planSlice,
  run: selectSlice,
};
