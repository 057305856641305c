import type { Model } from '../../ir/model.ts';
import type { StageContext, StageResult } from '../stage.ts';
import { quantizeDynamic } from './activations/dynamic.ts';
import { quantizeStatic } from './activations/static.ts';
import { quantizeToCodebooks } from './codebook/run.ts';
import type { QuantizeOptions, WeightOptions } from './options.ts';
import { convertPrecision } from './precision/convert.ts';
import { refineWeights } from './refine/run.ts';
import { quantizeWeights } from './weights/run.ts';

/** Trains the integers where the options ask for it. */
const refined = (
  model: Model,
  { refine }: WeightOptions,
  context: StageContext,
  rounded: StageResult,
): StageResult | Promise<StageResult> => (refine ? refineWeights(model, rounded, refine, context) : rounded);

/** Does what the options ask for; see the functions that it hands over to for what they throw. */
export const runQuantize = async (
  model: Model,
  options: QuantizeOptions,
  context: StageContext,
): Promise<StageResult> => {
  switch (options.kind) {
    case 'weights':
      return refined(model, options, context, await quantizeWeights(model, options, context));
    case 'static':
      return quantizeStatic(model, options, context);
    case 'dynamic':
      return quantizeDynamic(model, options, context);
    case 'precision':
      return convertPrecision(model, options);
    case 'codebook':
      return quantizeToCodebooks(model, options, context);
  }
};
