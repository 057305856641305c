import type { CostMeasure } from '../../curvature/options.ts';
import { CompressError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import { prepareForSlicing } from '../slice/prepare.ts';
import type { ForecastPoint, StageContext, StageForecast } from '../stage.ts';
import { allocateStructure } from './allocate.ts';
import { measureOf } from './budget-measure.ts';
import { graphBytes } from './file-bytes.ts';
import type { AutoOptions } from './options.ts';
import { type Survey, survey } from './structure.ts';

/** Shares of a cost that a forecast looks at. */
const shares = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1] as const;

/**
 * The least predicted loss for several budgets, each by one exact allocation; budgets that cannot be met are left out.
 * @param fixed what is spent of a budget beside the weights
 */
export const forecastOf = (found: Survey, measure: CostMeasure, fixed = 0): ForecastPoint[] => {
  const total = found.costs.total[measure];
  const points: ForecastPoint[] = [];
  for (const share of shares)
    try {
      const { picks, loss } = allocateStructure(found, { kind: 'cost', measure, most: share * total - fixed });
      const kinds: Record<string, number> = {};
      for (const { kind } of picks)
        if (kind !== 'dense') for (const one of kind.split('+')) kinds[one] = (kinds[one] ?? 0) + 1;
      points.push({ share, cost: share * total, loss, kinds });
    } catch (error) {
      if (!(error instanceof CompressError) || error.code !== 'mismatch') throw error;
      break;
    }
  return points;
};

/** What the budgets of a model would lose, in what the options count and with the kinds that they allow. */
export const forecastAuto = async (
  model: Model,
  options: AutoOptions,
  context: StageContext,
): Promise<StageForecast> => {
  const { measure, scope } = measureOf(options.budget);
  const program = prepareForSlicing(model.program);
  const found = await survey({ program, options, scope, measure, context });
  const form = { integers: options.kinds.includes('bits'), compact: options.compact };
  const fixed = measure === 'bytes' ? graphBytes(program, form) : 0;
  return { measure, points: forecastOf(found, measure, fixed) };
};
