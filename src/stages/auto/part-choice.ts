import { lowerHull, undominated } from '../../analysis/budget/choice.ts';
import type { Curvature } from '../../curvature/moments.ts';
import { type CostMeasure, joinChoices, noCost, type OptionCost, sumCosts } from '../../curvature/options.ts';
import { choiceOf, curvatureOrder } from '../../curvature/removal/choices.ts';
import type { WeightCosts } from '../../curvature/removal/costs.ts';
import type { Part } from './parts.ts';
import type { EditChoice, EditOption } from './site-choice.ts';

/** What may be done, and how it is counted. */
export interface ChoiceContext {
  readonly curvature: Curvature;
  readonly costs: WeightCosts;
  /** The cost that fronts of a part are drawn in. */
  readonly measure: CostMeasure;
  /** Numbers of channels that stay are multiples of this. */
  readonly multiple: number;
  readonly signal: AbortSignal;
}

/** What the sites of a part may become each by itself, as one choice. */
const joined = (name: string, sites: readonly EditChoice[], measure: CostMeasure): readonly EditOption[] => {
  const [only] = sites;
  if (!only) return [];
  if (sites.length === 1) return only.options;
  return joinChoices(name, sites, measure).options.map(({ data, ...option }) => ({ ...option, data: data.flat() }));
};

/** What the sites of a part cost beyond the elements that belong to its channels. */
const restCost = (sites: readonly EditChoice[], pooled: OptionCost): OptionCost => {
  if (sites.length === 0) return noCost;
  const whole = sumCosts(sites.map(({ options }) => options[0]!.cost));
  return {
    bytes: whole.bytes - pooled.bytes,
    parameters: whole.parameters - pooled.parameters,
    operations: whole.operations - pooled.operations,
  };
};

/** The channels of a part: how many stay. */
const removalOptions = async (
  { pool, mayEmpty }: Part,
  sites: readonly EditChoice[],
  context: ChoiceContext,
): Promise<EditOption[]> => {
  if (!pool) return [];
  const { curvature, costs, multiple, signal } = context;
  const order = await curvatureOrder(pool, curvature, costs, { signal });
  const choice = choiceOf(pool, order, costs, { multiple, most: 1, mayEmpty });
  const rest = restCost(sites, choice.options[0]!.cost);
  return choice.options.flatMap(({ data, cost, ...option }): EditOption[] =>
    data.units.length === 0
      ? []
      : [{ ...option, cost: sumCosts([cost, rest]), data: [{ kind: 'remove', pick: data }] }],
  );
};

/** What is left of a part after a removal, in the widths that its sites would get as they are. */
const inWidths = (
  removed: readonly EditOption[],
  name: string,
  sites: readonly EditChoice[],
  measure: CostMeasure,
): EditOption[] => {
  const widths = sites.map(
    (choice): EditChoice => ({ ...choice, options: choice.options.filter(({ data }) => data.length === 0) }),
  );
  const packed = joined(name, widths, measure).filter(({ kind }) => kind !== 'dense');
  const dense = sumCosts(sites.map(({ options }) => options[0]!.cost));
  return removed.flatMap((option) => {
    const left = dense.parameters > 0 ? option.cost.parameters / dense.parameters : 0;
    return packed.map(
      ({ label, cost, loss }): EditOption => ({
        ...option,
        kind: `${option.kind}+bits`,
        label: `${option.label}, ${label}`,
        cost: { ...option.cost, bytes: cost.bytes * left },
        loss: option.loss + loss * left,
      }),
    );
  });
};

/** Options of a part beyond this many are thinned out; those on the convex hull stay. */
const mostOptions = 192;

/** Options that no other one beats in cost and loss. */
const worthwhile = (options: readonly EditOption[], measure: CostMeasure): EditOption[] => {
  const points = undominated(options.map(({ cost, loss }) => ({ cost: cost[measure], loss })));
  const step = points.length / mostOptions;
  const onHull = new Set(step > 1 ? lowerHull(points).map(({ index }) => index) : []);
  return points
    .filter(({ index }, at) => step <= 1 || onHull.has(index) || Math.floor(at / step) > Math.floor((at - 1) / step))
    .map(({ index }) => options[index]!);
};

/** A part as it is: its sites, or where they belong to several pools, the elements of its channels. */
const denseOption = ({ pool }: Part, sites: readonly EditChoice[], { costs }: ChoiceContext): EditOption => {
  const pooled = pool?.units.map(({ group, channel }) => costs.saving(group, channel)) ?? [];
  const cost = sumCosts(sites.length > 0 ? sites.map(({ options }) => options[0]!.cost) : pooled);
  return { kind: 'dense', label: 'dense', cost, loss: 0, data: [] };
};

/**
 * Every way to make a part smaller, of all kinds, as one choice; the first option leaves it as it is.
 * @param sites choices of the part's sites, each by itself
 */
export const choiceOfPart = async (
  part: Part,
  sites: readonly EditChoice[],
  context: ChoiceContext,
): Promise<EditChoice> => {
  const { measure } = context;
  const alone = joined(part.name, sites, measure).filter(({ kind }) => kind !== 'dense');
  const removed = await removalOptions(part, sites, context);
  const names =
    sites.length > 0 ? sites.map(({ name }) => name) : (part.pool?.consumers.map(({ site }) => site.name) ?? []);
  return {
    name: part.name,
    sites: names,
    options: [
      denseOption(part, sites, context),
      ...worthwhile([...alone, ...removed, ...inWidths(removed, part.name, sites, measure)], measure),
    ],
  };
};
