import type { Stage } from '../stage.ts';
import { forecastAuto } from './forecast.ts';
import { type AutoOptions, autoOptions } from './options.ts';
import { planAuto } from './plan.ts';
import { runAuto } from './run.ts';

/** One budget for everything: low rank, removal and bits compete for the same cost in one currency. */
export const autoStage: Stage<AutoOptions> = {
  name: 'auto',
  summary:
    'meet one budget (size, parameters, operations, latency, divergence) by what loses least: ranks, removal, bits, sharing',
  options: autoOptions,
  needsCalibration: () => true,
  plan: planAuto,
  forecast: forecastAuto,
  run: runAuto,
};
