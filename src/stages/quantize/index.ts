import type { Stage } from '../stage.ts';
import { type QuantizeOptions, quantizeOptions, type WeightOptions } from './options.ts';
import { planQuantize } from './plan.ts';
import { runQuantize } from './run.ts';
import { methodNeedsInputs } from './weights/plan.ts';
import { clipNeedsGram } from './weights/scheme.ts';

/** True when some weight is asked to be rounded in a way that looks at inputs; 'auto' makes do without. */
const looksAtInputs = ({ method, weights, overrides, refine }: WeightOptions): boolean => {
  const asks = (name: WeightOptions['method'], clip: WeightOptions['weights']['clip'] | undefined): boolean =>
    (name !== 'auto' && methodNeedsInputs(name)) || (clip !== undefined && clip !== 'usual' && clipNeedsGram(clip));
  return (
    refine !== undefined ||
    asks(method, weights.clip) ||
    overrides.some((override) => override.weights !== 'keep' && asks(override.method ?? 'auto', override.weights.clip))
  );
};

/** Fewer bits: integer weights, integer weights and activations, or another floating-point type. */
export const quantizeStage: Stage<QuantizeOptions> = {
  name: 'quantize',
  summary:
    'store weights in 2 to 8 bits (auto, rtn, gptq, gptaq, foem, qronos, curvature), compute in int8 (static, dynamic), or convert to float16/bfloat16',
  options: quantizeOptions,
  needsCalibration: (options) =>
    options.kind === 'static' ||
    (options.kind === 'weights' && looksAtInputs(options)) ||
    (options.kind === 'dynamic' &&
      (typeof options.smooth === 'number' || (options.method !== 'auto' && methodNeedsInputs(options.method)))),
  plan: planQuantize,
  run: runQuantize,
};
