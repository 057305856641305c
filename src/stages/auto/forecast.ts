import type { CostMeasure } from '../../curvature/options.ts';
import { CompressError } from '../../errors.ts';
import { allocateStructure } from './allocate.ts';
import type { Survey } from './structure.ts';

/** What a budget would buy. */
export interface ForecastPoint {
  /** Share of the cost that is left. */
  readonly share: number;
  readonly cost: number;
  /** Predicted nats an item. */
  readonly loss: number;
  /** Parts changed by each kind of compression. */
  readonly kinds: Readonly<Record<string, number>>;
}

/** Shares of a cost that a forecast looks at. */
const shares = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1] as const;

/** The least predicted loss for several budgets, each by one exact allocation; budgets that cannot be met are left out. */
export const forecastOf = (found: Survey, measure: CostMeasure): ForecastPoint[] => {
  const total = found.costs.total[measure];
  const points: ForecastPoint[] = [];
  for (const share of shares)
    try {
      const { picks, loss } = allocateStructure(found, { kind: 'cost', measure, most: share * total });
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
