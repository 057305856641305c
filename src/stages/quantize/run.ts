import type { Model } from '../../ir/model.ts';
import type { StageContext, StageResult } from '../stage.ts';
import { quantizeDynamic } from './activations/dynamic.ts';
import { quantizeStatic } from './activations/static.ts';
import type { QuantizeOptions } from './options.ts';
import { convertPrecision } from './precision/convert.ts';
import { quantizeWeights } from './weights/run.ts';

/** Does what the options ask for; see the functions that it hands over to for what they throw. */
export const runQuantize = async (
  model: Model,
  options: QuantizeOptions,
  context: StageContext,
): Promise<StageResult> => {
  switch (options.kind) {
    case 'weights':
      return quantizeWeights(model, options, context);
    case 'static':
      return quantizeStatic(model, options, context);
    case 'dynamic':
      return quantizeDynamic(model, options, context);
    case 'precision':
      return convertPrecision(model, options);
  }
};
