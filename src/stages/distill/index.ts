import type { Stage } from '../stage.ts';
import { type DistillOptions, distillOptions } from './options.ts';
import { planDistill } from './plan.ts';
import { runDistill } from './run.ts';

/** Learning from another model: fewer layers, healing after other stages, training of quantized weights. */
export const distillStage: Stage<DistillOptions> = {
  name: 'distill',
  summary: 'train the model to behave like a teacher: heal it, drop layers, train quantized weights',
  options: distillOptions,
  needsCalibration: () => true,
  trains: true,
  references: ({ teachers }) => teachers.map(({ path }) => path).filter((path) => path !== 'input'),
  plan: planDistill,
  run: runDistill,
};
