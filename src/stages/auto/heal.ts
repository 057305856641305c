import type { Model } from '../../ir/model.ts';
import { distillStage } from '../distill/index.ts';
import type { StageContext, StageResult } from '../stage.ts';

/** Trains a compressed model to behave like the one that it was made from, on the calibration data. */
export const healModel = (
  model: Model,
  original: Model,
  steps: number,
  context: StageContext,
): Promise<StageResult> => {
  const open = context.models?.open ?? (() => Promise.resolve(original));
  return distillStage.run(model, distillStage.options.parse({ steps }), { ...context, models: { original, open } });
};
