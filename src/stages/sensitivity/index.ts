import type { Stage } from '../stage.ts';
import { type SensitivityOptions, sensitivityOptions } from './options.ts';
import { planSensitivity } from './plan.ts';
import { runSensitivity } from './run.ts';

/** How much each weight matters, and how many bits each should have. Weights stay as they are. */
export const sensitivityStage: Stage<SensitivityOptions> = {
  name: 'sensitivity',
  summary: 'predict what fewer bits lose at every weight, verify it, and choose the bits of each within a budget',
  options: sensitivityOptions,
  needsCalibration: () => true,
  plan: planSensitivity,
  run: runSensitivity,
};
