import type { ChannelGroup } from '../../analysis/channel-groups/groups.ts';
import type { RemovalOrder } from '../../curvature/obs-removal.ts';
import { allocateOptions, type CompressionChoice, type CostMeasure, optionFront } from '../../curvature/options.ts';
import type { RemovalPick } from '../../curvature/removal/choices.ts';
import type { WeightCosts } from '../../curvature/removal/costs.ts';
import { channelsOf } from '../../curvature/removal/pools.ts';
import { CompressError } from '../../errors.ts';
import type { AllocationRule } from './methods/method.ts';

/** The options of a pool and the ranking that they come from. */
export interface RankedChoice {
  readonly choice: CompressionChoice<RemovalPick>;
  readonly ranking: RemovalOrder;
}

export interface RemovalBudget {
  readonly rule: AllocationRule;
  readonly measure: CostMeasure;
  /** What may be left at most. */
  readonly most: number;
}

/** What was chosen: a pick a pool. */
export interface RemovalAllocation {
  readonly picks: readonly RemovalPick[];
  /** Sum of what the picks are predicted to lose, in the units of the method. */
  readonly loss: number;
}

/** What is left of the whole program after picks, counted exactly: constants that lose both rows and columns count once. */
const leftAfter = (picks: readonly RemovalPick[], costs: WeightCosts, measure: CostMeasure): number => {
  const groups: ChannelGroup[] = picks.flatMap(({ pool }) => pool.groups);
  return costs.after(groups, new Map(picks.flatMap((pick) => [...channelsOf(pick.pool, pick.units)])))[measure];
};

type Option = CompressionChoice<RemovalPick>['options'][number];

/** The option that removes most without going beyond `count` units. */
const upTo = ({ options }: CompressionChoice<RemovalPick>, count: number): Option =>
  options.reduce((best, option) =>
    option.data.units.length <= count && option.data.units.length > best.data.units.length ? option : best,
  );

/** How many units of a ranking lie below a standardised score. */
const countBelow = ({ order, losses }: RemovalOrder, level: number): number => {
  const scores = order.map((_, index) => losses[index + 1]! - losses[index]!);
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  const spread = Math.sqrt(scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) / scores.length) || 1;
  return scores.filter((score) => (score - mean) / spread < level).length;
};

/** Options at a level from 0 (nothing goes) to 1 (everything that may). */
const atLevel = (ranked: readonly RankedChoice[], rule: 'uniform' | 'standardised', level: number): readonly Option[] =>
  ranked.map(({ choice, ranking }) => {
    const standardised = level >= 1 ? ranking.order.length : countBelow(ranking, Math.tan((level - 0.5) * Math.PI));
    return upTo(choice, rule === 'uniform' ? level * ranking.order.length + 1e-9 : standardised);
  });

const searchSteps = 40;

/** The options that remove least among those along a scale that fit; `least` removes most. */
const search = (
  optionsAt: (level: number) => readonly Option[],
  fits: (options: readonly Option[]) => boolean,
): readonly Option[] => {
  let [low, high] = [0, 1];
  let best = optionsAt(1);
  for (let step = 0; step < searchSteps; step++) {
    const middle = (low + high) / 2;
    const options = optionsAt(middle);
    if (fits(options)) {
      best = options;
      high = middle;
    } else low = middle;
  }
  return best;
};

/**
 * Chooses how many channels go from each pool so that what is left of the program is within the budget.
 * @throws 'mismatch' when even everything that may go does not make it small enough.
 */
export const allocateRemovals = (
  ranked: readonly RankedChoice[],
  costs: WeightCosts,
  { rule, measure, most }: RemovalBudget,
): RemovalAllocation => {
  const choices = ranked.map(({ choice }) => choice);
  const left = (options: readonly Option[]): number =>
    leftAfter(
      options.map(({ data }) => data),
      costs,
      measure,
    );
  const fits = (options: readonly Option[]): boolean => left(options) <= most + 1e-9;
  const everything = choices.map((choice) => upTo(choice, Number.POSITIVE_INFINITY));
  if (!fits(everything)) {
    const [present, least] = [costs.total[measure], left(everything)];
    throw new CompressError({
      code: 'mismatch',
      message: `the ratio would leave a group empty: of ${present} ${measure} at most ${present - least} can go, ${Math.ceil(present - most)} were asked for`,
      where: { key: 'ratio' },
      hint: 'Ask for less, allow more kinds (kinds, most, whole_branches), or name fewer sites in ignore.',
    });
  }
  const chosen =
    rule === 'exact'
      ? exactly(choices, costs, measure, most, fits)
      : rule === 'nested'
        ? alongFront(choices, measure, fits)
        : search((level) => atLevel(ranked, rule, level), fits);
  return { picks: chosen.map(({ data }) => data), loss: chosen.reduce((sum, { loss }) => sum + loss, 0) };
};

/** The point of the front that loses least and fits; along the front every pool only ever loses more. */
const alongFront = (
  choices: readonly CompressionChoice<RemovalPick>[],
  measure: CostMeasure,
  fits: (options: readonly Option[]) => boolean,
): readonly Option[] => {
  const front = optionFront(choices, measure);
  let [low, high] = [0, front.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (fits(front[middle]!.picks)) low = middle;
    else high = middle - 1;
  }
  return front[low]!.picks;
};

/**
 * The least predicted loss by the allocator, whose costs add up. Where constants lose both rows and columns the sum of
 * savings counts some twice, so the budget handed over is lowered until the true cost fits.
 */
const exactly = (
  choices: readonly CompressionChoice<RemovalPick>[],
  costs: WeightCosts,
  measure: CostMeasure,
  most: number,
  fits: (options: readonly Option[]) => boolean,
): readonly Option[] => {
  const pooled = choices.reduce((sum, { options }) => sum + options[0]!.cost[measure], 0);
  const least = choices.reduce((sum, { options }) => sum + Math.min(...options.map(({ cost }) => cost[measure])), 0);
  const rest = costs.total[measure] - pooled;
  const within = (budget: number): readonly Option[] =>
    allocateOptions(choices, { kind: 'cost', measure, most: budget }).picks;
  const first = Math.max(least, most - rest);
  const direct = within(first);
  if (fits(direct)) return direct;
  return search((level) => within(first + (least - first) * level), fits);
};
