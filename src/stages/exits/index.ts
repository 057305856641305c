import type { Stage } from '../stage.ts';
import { type ExitsOptions, exitsOptions } from './options.ts';
import { planExits } from './plan.ts';
import { runExits } from './run.ts';

/** Samples that are easy leave the model early. */
export const exitsStage: Stage<ExitsOptions> = {
  name: 'exits',
  summary: 'early exits: heads between the blocks, and thresholds that keep to a budget of expected operations',
  options: exitsOptions,
  needsCalibration: () => true,
  plan: planExits,
  run: runExits,
};
