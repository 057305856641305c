import type { RoundingMethodName } from '../methods/index.ts';
import type { WeightScheme } from './scheme.ts';

/** The chain that is measured to be best for a width, and why. */
interface AutomaticChoice {
  readonly method: RoundingMethodName;
  readonly why: string;
}

/**
 * What `method: auto` means. At 2 to 4 bits the descent in the curvature has the least divergence on every model that
 * was measured, by a third against gptq (docs/quantization.md); at 8 bits every method is within rounding noise of the
 * model, so the one that takes a single pass is taken.
 */
export const automaticMethod = (bits: WeightScheme['bits'], calibrated: boolean): AutomaticChoice => {
  if (!calibrated) return { method: 'rtn', why: 'there are no calibration data' };
  if (bits === 8) return { method: 'gptq', why: 'at this width more effort gains nothing that can be measured' };
  return { method: 'curvature', why: 'it loses least at this width' };
};
