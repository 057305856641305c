import { hullSteps, lowerHull, undominated } from '../../analysis/budget/choice.ts';
import {
  allocateOptions,
  type CostMeasure,
  type Limit,
  type OptionAllocation,
  sumCosts,
} from '../../curvature/options.ts';
import type { RemovalPick } from '../../curvature/removal/choices.ts';
import { channelsOf } from '../../curvature/removal/pools.ts';
import { CompressError } from '../../errors.ts';
import type { Edit } from './edit.ts';
import type { EditChoice } from './site-choice.ts';
import type { Survey } from './structure.ts';

/** An allocation and the choices that it was made over. */
export interface StructureAllocation extends OptionAllocation<readonly Edit[]> {
  readonly choices: readonly EditChoice[];
}

/** Every edit of an allocation. */
export const editsOf = ({ picks }: Pick<StructureAllocation, 'picks'>): Edit[] => picks.flatMap(({ data }) => data);

/** The choices of a survey where some groups of layers are decided about as groups. */
const choicesWith = ({ parts }: Survey, groups: readonly EditChoice[]): EditChoice[] => {
  const shared = new Set(groups.flatMap(({ sites }) => sites));
  const alone = parts.flatMap(({ choice, sites }) =>
    sites.some(({ name }) => shared.has(name)) ? sites.filter(({ name }) => !shared.has(name)) : [choice],
  );
  return [...alone, ...groups];
};

/** What all choices cost as they are. */
const denseCost = (choices: readonly EditChoice[]) => sumCosts(choices.map(({ options }) => options[0]!.cost));

/** What is left of a cost after edits, counted exactly: constants that lose both rows and columns count once. */
const leftAfter = ({ costs }: Survey, { picks, choices }: StructureAllocation, measure: CostMeasure): number => {
  const removed: RemovalPick[] = picks.flatMap(({ data }) =>
    data.flatMap((edit) => (edit.kind === 'remove' ? [edit.pick] : [])),
  );
  const cut = costs.after(
    removed.flatMap(({ pool }) => pool.groups),
    new Map(removed.flatMap(({ pool, units }) => [...channelsOf(pool, units)])),
  )[measure];
  const saved = picks.map(({ data, kind, cost }, choice) => {
    const dense = choices[choice]!.options[0]!.cost;
    const changed = data.some((edit) => edit.kind !== 'remove') || kind === 'bits';
    return changed ? dense[measure] - cost[measure] : 0;
  });
  return cut - saved.reduce((sum, one) => sum + one, 0);
};

/** One exact allocation over given choices. */
const allocateOver = (found: Survey, choices: readonly EditChoice[], limit: Limit): StructureAllocation => {
  if (limit.kind === 'loss') return { ...allocateOptions(choices, limit), choices };
  const { measure, most } = limit;
  let within = most - (found.costs.total[measure] - denseCost(choices)[measure]);
  for (;;) {
    const allocation = { ...allocateOptions(choices, { ...limit, most: within }), choices };
    if (allocation.picks.some(({ kind }) => kind.includes('removal+bits'))) return allocation;
    const beyond = leftAfter(found, allocation, measure) - most;
    if (beyond <= 1e-6 * most) return allocation;
    within -= beyond;
  }
};

/** An allocation; undefined where the limit cannot be kept. */
const tryOver = (found: Survey, choices: readonly EditChoice[], limit: Limit): StructureAllocation | undefined => {
  try {
    return allocateOver(found, choices, limit);
  } catch (error) {
    if (error instanceof CompressError && error.code === 'mismatch') return undefined;
    throw error;
  }
};

/**
 * What a unit of the measure is worth at a limit: the loss that the last step along the front saves for it. 0 where
 * everything fits.
 */
const priceAt = (found: Survey, choices: readonly EditChoice[], limit: Limit): number => {
  const { measure } = limit;
  const hulls = choices.map(({ options }) =>
    lowerHull(undominated(options.map(({ cost, loss }) => ({ cost: cost[measure], loss })))),
  );
  let cost = hulls.reduce((sum, hull) => sum + hull[0]!.cost, 0);
  let loss = hulls.reduce((sum, hull) => sum + hull[0]!.loss, 0);
  const within = limit.most - (limit.kind === 'cost' ? found.costs.total[measure] - denseCost(choices)[measure] : 0);
  for (const step of hullSteps(hulls)) {
    if (limit.kind === 'cost' ? cost + step.cost > within : loss - step.saved < within) return step.rate;
    cost += step.cost;
    loss -= step.saved;
  }
  return 0;
};

/** The least loss of a choice together with what it costs at a price. */
const priced = ({ options }: EditChoice, measure: CostMeasure, price: number): number =>
  options.reduce((least, { cost, loss }) => Math.min(least, loss + price * cost[measure]), Number.POSITIVE_INFINITY);

/** Whether deciding about a group as one is cheaper at a price than deciding about the parts that it lies in. */
const isPromising = (found: Survey, group: EditChoice, measure: CostMeasure, price: number): boolean => {
  const own = new Set(group.sites);
  const touched = found.parts.filter(({ sites }) => sites.some(({ name }) => own.has(name)));
  const now = touched.reduce((sum, { choice }) => sum + priced(choice, measure, price), 0);
  const others = touched.flatMap(({ sites }) => sites.filter(({ name }) => !own.has(name)));
  const then = others.reduce((sum, choice) => sum + priced(choice, measure, price), priced(group, measure, price));
  return then < now;
};

/** What a limit leaves open: the loss within a cost, or the cost within a loss. */
const objective = (limit: Limit, { loss, cost }: StructureAllocation): number =>
  limit.kind === 'cost' ? loss : cost[limit.measure];

/**
 * One exact allocation over all parts within a limit. Layers that share are decided about together, which no separable
 * allocation knows: groups that are promising at the price of the budget are taken in one after the other, each allocated
 * over exactly, and stay where that is better.
 * Where a constant loses both rows and columns, sums of savings count some elements twice: the limit is then lowered
 * until the true cost fits. @throws 'mismatch' when no options are small enough.
 */
export const allocateStructure = (found: Survey, limit: Limit): StructureAllocation => {
  let groups: readonly EditChoice[] = [];
  let best = tryOver(found, choicesWith(found, groups), limit);
  const price = best ? priceAt(found, best.choices, limit) : 0;
  for (const group of found.sharing) {
    const taken = new Set(groups.flatMap(({ sites }) => sites));
    if (group.sites.some((site) => taken.has(site))) continue;
    if (best && !isPromising(found, group, limit.measure, price)) continue;
    const next = tryOver(found, choicesWith(found, [...groups, group]), limit);
    if (!next || (best && objective(limit, next) >= objective(limit, best))) continue;
    groups = [...groups, group];
    best = next;
  }
  return best ?? allocateOver(found, choicesWith(found, []), limit);
};
