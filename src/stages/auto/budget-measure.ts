import type { CostMeasure } from '../../curvature/options.ts';
import type { CostScope } from '../../curvature/removal/costs.ts';
import type { AutoBudget } from './options.ts';

/** What a budget is counted in, and over which constants. */
interface BudgetMeasure {
  readonly measure: CostMeasure;
  readonly scope: CostScope;
}

const measures = {
  size: { measure: 'bytes', scope: 'all' },
  parameters: { measure: 'parameters', scope: 'all' },
  block_parameters: { measure: 'parameters', scope: 'blocks' },
  operations: { measure: 'operations', scope: 'all' },
} as const satisfies Record<string, BudgetMeasure>;

/** What a budget is counted in; latency goes by operations, a divergence by bytes. */
export const measureOf = (budget: AutoBudget): BudgetMeasure => {
  if (budget.kind === 'share') return measures[budget.of];
  return budget.kind === 'latency' ? measures.operations : measures.size;
};
