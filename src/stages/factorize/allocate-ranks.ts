import { allocateOptions, type CompressionChoice, type OptionAllocation, sumCosts } from '../../curvature/options.ts';
import { CompressError } from '../../errors.ts';
import type { RankChoice } from './low-rank.ts';
import type { FactorBudget, FactorizeOptions } from './options.ts';

/** What all weights cost as they are. */
const denseCost = (choices: readonly CompressionChoice<RankChoice>[]) =>
  sumCosts(choices.map(({ options }) => options.find(({ kind }) => kind === 'dense')!.cost));

/** The same share of every weight: the greatest rank within it, or dense where no rank is that small. */
const uniform = (
  choices: readonly CompressionChoice<RankChoice>[],
  budget: Extract<FactorBudget, { kind: 'share' }>,
): OptionAllocation<RankChoice> => {
  const picks = choices.map(({ name, options }) => {
    const [dense, ...ranks] = options;
    const most = budget.share * dense!.cost[budget.measure];
    const found = ranks.findLast(({ cost }) => cost[budget.measure] <= most);
    if (found) return found;
    throw new CompressError({
      code: 'mismatch',
      message: `no rank keeps as little as ${(100 * budget.share).toPrecision(3)} % of ${name}`,
      hint: 'Ask for less (ratio), allow other ranks (rank_multiple), or leave this weight out (ignore).',
    });
  });
  return {
    picks,
    cost: sumCosts(picks.map(({ cost }) => cost)),
    loss: picks.reduce((sum, { loss }) => sum + loss, 0),
    lowerBound: undefined,
  };
};

/** Ranks of all weights under the budget of the options. @throws 'mismatch' when it cannot be met. */
export const allocateRanks = (
  choices: readonly CompressionChoice<RankChoice>[],
  { budget, allocation }: Pick<FactorizeOptions, 'budget' | 'allocation'>,
): OptionAllocation<RankChoice> => {
  if (budget.kind === 'loss')
    return allocateOptions(choices, { kind: 'loss', measure: 'parameters', most: budget.nats });
  if (allocation === 'uniform') return uniform(choices, budget);
  const most = Math.floor(budget.share * denseCost(choices)[budget.measure]);
  return allocateOptions(choices, { kind: 'cost', measure: budget.measure, most });
};
