import { CompressError } from '../../errors.ts';
import { type BudgetChoice, type BudgetOption, type HullPoint, hullSteps, lowerHull, undominated } from './choice.ts';

export interface Allocation {
  /** Index of the option taken, by choice. */
  readonly picks: readonly number[];
  readonly cost: number;
  readonly loss: number;
  /** No allocation within the budget can lose less than this; equals `loss` when the allocation is proved best. */
  readonly lowerBound: number;
}

export interface AllocateOptions {
  /** Partial solutions kept at most; beyond it the search stops being exact and `lowerBound` says by how much. */
  readonly maxStates?: number;
}

/** Loss that the remaining choices lose at least, for any rest of the budget: their linear relaxation. */
interface Relaxation {
  readonly smallestCost: number;
  readonly lossAtSmallest: number;
  /** Running sums of cost and saved loss over the steps by falling rate. */
  readonly costs: Float64Array;
  readonly saved: Float64Array;
}

const relax = (hulls: readonly (readonly HullPoint[])[]): Relaxation => {
  const steps = hullSteps(hulls);
  const costs = new Float64Array(steps.length + 1);
  const saved = new Float64Array(steps.length + 1);
  steps.forEach((step, index) => {
    costs[index + 1] = costs[index]! + step.cost;
    saved[index + 1] = saved[index]! + step.saved;
  });
  return {
    smallestCost: hulls.reduce((sum, hull) => sum + hull[0]!.cost, 0),
    lossAtSmallest: hulls.reduce((sum, hull) => sum + hull[0]!.loss, 0),
    costs,
    saved,
  };
};

/** Lower bound of the loss with `budget` to spend; Infinity where even the cheapest options do not fit. */
const boundAt = ({ smallestCost, lossAtSmallest, costs, saved }: Relaxation, budget: number): number => {
  const extra = budget - smallestCost;
  if (extra < 0) return Number.POSITIVE_INFINITY;
  let [low, high] = [0, costs.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (costs[middle]! <= extra) low = middle;
    else high = middle - 1;
  }
  const next = low + 1;
  const part =
    next < costs.length ? ((extra - costs[low]!) / (costs[next]! - costs[low]!)) * (saved[next]! - saved[low]!) : 0;
  return lossAtSmallest - saved[low]! - part;
};

/** A partial solution over the choices handled so far; `before` chains back to the earlier ones. */
interface State {
  readonly cost: number;
  readonly loss: number;
  readonly pick: number;
  readonly before: State | undefined;
}

/**
 * Takes one option of each choice so that the sum of losses is smallest and the sum of costs is at most `budget`:
 * the multiple-choice knapsack, solved exactly by merging lists of undominated partial solutions (Nemhauser, Ullmann
 * 1969) pruned by the linear relaxation of what remains (Sinha, Zoltners 1979).
 * @throws 'mismatch' when even the cheapest options exceed the budget; the message says by how much.
 */
export const allocate = (
  choices: readonly BudgetChoice[],
  budget: number,
  options: AllocateOptions = {},
): Allocation => {
  const maxStates = options.maxStates ?? 200_000;
  const fronts = choices.map((choice) => undominated(choice.options));
  checkFeasible(choices, fronts, budget);
  const hulls = fronts.map(lowerHull);
  const order = choices.map((_, index) => index).sort((a, b) => spread(hulls[b]!) - spread(hulls[a]!) || a - b);
  const remaining: Relaxation[] = order.map((_, position) =>
    relax(order.slice(position + 1).map((choice) => hulls[choice]!)),
  );
  const lowerBound = boundAt(relax(hulls), budget);
  let best = greedy(fronts, hulls, budget);
  let bound = totalLoss(fronts, best);
  let states: State[] = [{ cost: 0, loss: 0, pick: -1, before: undefined }];
  let exact = true;
  order.forEach((choice, position) => {
    const candidates: State[] = [];
    for (const before of states)
      for (const option of fronts[choice]!) {
        const cost = before.cost + option.cost;
        const loss = before.loss + option.loss;
        const left = boundAt(remaining[position]!, budget - cost);
        if (loss + left > bound + Math.abs(bound) * 1e-12) continue;
        candidates.push({ cost, loss, pick: option.index, before });
      }
    states = pareto(candidates);
    if (states.length > maxStates) {
      exact = false;
      const rest = remaining[position]!;
      states.sort((a, b) => a.loss + boundAt(rest, budget - a.cost) - (b.loss + boundAt(rest, budget - b.cost)));
      states = pareto(states.slice(0, maxStates));
    }
  });
  for (const state of states) {
    if (state.cost > budget || state.loss >= bound) continue;
    bound = state.loss;
    best = unchain(state, order);
  }
  const loss = totalLoss(fronts, best);
  return {
    picks: best,
    cost: total(choices, best, 'cost'),
    loss,
    lowerBound: exact ? loss : Math.min(loss, lowerBound),
  };
};

/** The cheapest allocation whose loss is at most `maxLoss`: costs and losses change places. */
export const allocateForLoss = (
  choices: readonly BudgetChoice[],
  maxLoss: number,
  options: AllocateOptions = {},
): Allocation => {
  const swapped = choices.map(({ name, options: list }) => ({
    name,
    options: list.map(({ cost, loss }): BudgetOption => ({ cost: loss, loss: cost })),
  }));
  const { picks, lowerBound, loss, cost } = allocate(swapped, maxLoss, options);
  return { picks, cost: loss, loss: cost, lowerBound };
};

/**
 * The front of allocations along the convex hull, from the cheapest to the one that loses least: every point is the best
 * for its own cost. For plots and for choosing a budget.
 */
export const allocationFront = (
  choices: readonly BudgetChoice[],
): { readonly cost: number; readonly loss: number }[] => {
  const hulls = choices.map((choice) => lowerHull(undominated(choice.options)));
  let cost = hulls.reduce((sum, hull) => sum + hull[0]!.cost, 0);
  let loss = hulls.reduce((sum, hull) => sum + hull[0]!.loss, 0);
  return [
    { cost, loss },
    ...hullSteps(hulls).map((step) => {
      cost += step.cost;
      loss -= step.saved;
      return { cost, loss };
    }),
  ];
};

const spread = (hull: readonly HullPoint[]): number => hull[0]!.loss - hull.at(-1)!.loss;

const checkFeasible = (
  choices: readonly BudgetChoice[],
  fronts: readonly (readonly HullPoint[])[],
  budget: number,
): void => {
  const empty = choices.find((choice) => choice.options.length === 0);
  if (empty) throw new CompressError({ code: 'mismatch', message: `${empty.name} has no option to choose from` });
  const smallest = fronts.reduce((sum, front) => sum + front[0]!.cost, 0);
  if (smallest <= budget) return;
  throw new CompressError({
    code: 'mismatch',
    message: `the budget of ${budget} cannot be met: the cheapest options of all ${choices.length} choices cost ${smallest}`,
    hint: 'Raise the budget, or allow cheaper options (fewer bits, larger groups, lower ranks).',
  });
};

/** Steps of the hulls by falling rate as long as they fit, then any single better option that still fits. */
const greedy = (
  fronts: readonly (readonly HullPoint[])[],
  hulls: readonly (readonly HullPoint[])[],
  budget: number,
): number[] => {
  const picks = fronts.map((front) => front[0]!.index);
  let cost = fronts.reduce((sum, front) => sum + front[0]!.cost, 0);
  const stopped = new Set<number>();
  for (const step of hullSteps(hulls)) {
    if (stopped.has(step.choice)) continue;
    if (cost + step.cost > budget) {
      stopped.add(step.choice);
      continue;
    }
    cost += step.cost;
    picks[step.choice] = step.to;
  }
  fronts.forEach((front, choice) => {
    const now = front.find((option) => option.index === picks[choice])!;
    const better = front.filter((option) => option.loss < now.loss && cost - now.cost + option.cost <= budget).at(-1);
    if (!better) return;
    cost += better.cost - now.cost;
    picks[choice] = better.index;
  });
  return picks;
};

const totalLoss = (fronts: readonly (readonly HullPoint[])[], picks: readonly number[]): number =>
  fronts.reduce((sum, front, choice) => sum + front.find((option) => option.index === picks[choice])!.loss, 0);

const total = (choices: readonly BudgetChoice[], picks: readonly number[], key: 'cost' | 'loss'): number =>
  choices.reduce((sum, choice, index) => sum + choice.options[picks[index]!]![key], 0);

/** States that no other beats, by rising cost. */
const pareto = (states: State[]): State[] => {
  states.sort((a, b) => a.cost - b.cost || a.loss - b.loss);
  const kept: State[] = [];
  for (const state of states) if (kept.length === 0 || state.loss < kept.at(-1)!.loss) kept.push(state);
  return kept;
};

const unchain = (last: State, order: readonly number[]): number[] => {
  const picks = new Array<number>(order.length);
  let state: State | undefined = last;
  for (let position = order.length - 1; position >= 0; position--) {
    picks[order[position]!] = state!.pick;
    state = state!.before;
  }
  return picks;
};
