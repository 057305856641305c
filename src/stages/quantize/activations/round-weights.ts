import type { Model } from '../../../ir/model.ts';
import type { StageContext, StageResult } from '../../stage.ts';
import { quantizeWeights } from '../weights/run.ts';
import type { SitePatterns, WeightRounding } from './options.ts';

/**
 * Rounds weights to 8 bits with one positive scale a row by a method that makes good what rounding did before: the
 * integers that the forms of 8-bit activations take over as they are. Rounding to nearest is left to those forms.
 */
export const roundWeights = async (
  model: Model,
  { targets, ignore, method }: SitePatterns & WeightRounding,
  context: StageContext,
): Promise<StageResult> => {
  if (method === 'rtn') return { model, findings: [] };
  const weights = { bits: 8, groupSize: 'row', grid: 'symmetric-narrow', clip: 'usual' } as const;
  const settings = { damp: undefined, actOrder: true, magr: 0 };
  return quantizeWeights(
    model,
    {
      kind: 'weights',
      method,
      weights,
      targets,
      ignore,
      overrides: [],
      settings,
      sequential: 'site',
      rotate: false,
      already: 'keep',
      refine: undefined,
    },
    context,
  );
};
