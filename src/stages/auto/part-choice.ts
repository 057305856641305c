import type { Site } from '../../analysis/sites.ts';
import type { Curvature } from '../../curvature/moments.ts';
import {
  type CompressionChoice,
  type CompressionOption,
  type CostMeasure,
  joinChoices,
  type OptionCost,
  sumCosts,
} from '../../curvature/options.ts';
import { choiceOf, curvatureOrder } from '../../curvature/removal/choices.ts';
import type { WeightCosts } from '../../curvature/removal/costs.ts';
import type { Edit } from './edit.ts';
import type { Part } from './parts.ts';

/** What may be done, and how it is counted. */
export interface ChoiceContext {
  readonly curvature: Curvature;
  readonly costs: WeightCosts;
  /** The cost that fronts of a part are drawn in. */
  readonly measure: CostMeasure;
  /** Numbers of channels that stay are multiples of this. */
  readonly multiple: number;
  /** Ranks of a site, 'dense' among them; undefined where a site is not factorised. */
  readonly ranksOf: (site: Site) => Promise<CompressionChoice<'dense' | number> | undefined>;
  /** What a site costs as it is. */
  readonly costOf: (site: Site) => OptionCost;
  readonly signal: AbortSignal;
}

type PartOption = CompressionOption<readonly Edit[]>;

/** The sites of a part each by itself: ranks that the front of all of them takes. */
const factoredOptions = async (part: Part, context: ChoiceContext): Promise<PartOption[]> => {
  const choices: CompressionChoice<readonly Edit[]>[] = [];
  for (const site of part.sites) {
    const ranks = await context.ranksOf(site);
    const dense: PartOption = { kind: 'dense', label: 'dense', cost: context.costOf(site), loss: 0, data: [] };
    const factored = (ranks?.options ?? []).flatMap(({ data, ...option }): PartOption[] =>
      data === 'dense' ? [] : [{ ...option, data: [{ kind: 'factor', site: site.name, rank: data }] }],
    );
    choices.push({ name: site.name, sites: [site.name], options: [dense, ...factored] });
  }
  const [only] = choices;
  if (choices.length === 1) return [...only!.options];
  return joinChoices(part.name, choices, context.measure).options.map(({ data, ...option }) => ({
    ...option,
    data: data.flat(),
  }));
};

/** The channels of a part: how many stay. */
const removalOptions = async (part: Part, context: ChoiceContext): Promise<PartOption[]> => {
  const { pool } = part;
  if (!pool) return [];
  const { curvature, costs, multiple, signal } = context;
  const order = await curvatureOrder(pool, curvature, costs, { signal });
  const choice = choiceOf(pool, order, costs, { multiple, most: 1, mayEmpty: part.mayEmpty });
  const rest = restCost(part, choice.options[0]!.cost, context);
  return choice.options.map(({ kind, label, cost, loss, data }) => ({
    kind,
    label: kind === 'dense' ? 'dense' : label,
    cost: sumCosts([cost, rest]),
    loss,
    data: data.units.length === 0 ? [] : [{ kind: 'remove', pick: data }],
  }));
};

/** What the sites of a part cost beyond the elements that belong to its channels. */
const restCost = (part: Part, pooled: OptionCost, context: ChoiceContext): OptionCost => {
  if (part.sites.length === 0) return { bytes: 0, parameters: 0, operations: 0 };
  const whole = sumCosts(part.sites.map(context.costOf));
  return {
    bytes: whole.bytes - pooled.bytes,
    parameters: whole.parameters - pooled.parameters,
    operations: whole.operations - pooled.operations,
  };
};

/** A part as it is: its sites, or where they belong to several pools, the elements of its channels. */
const denseOption = (part: Part, context: ChoiceContext): PartOption => {
  const { pool } = part;
  const pooled = pool?.units.map(({ group, channel }) => context.costs.saving(group, channel)) ?? [];
  const cost = sumCosts(part.sites.length > 0 ? part.sites.map(context.costOf) : pooled);
  return { kind: 'dense', label: 'dense', cost, loss: 0, data: [] };
};

/** Every way to make a part smaller, of all kinds, as one choice; the first option leaves it as it is. */
export const choiceOfPart = async (part: Part, context: ChoiceContext): Promise<CompressionChoice<readonly Edit[]>> => {
  const factored = part.sites.length > 0 ? await factoredOptions(part, context) : [];
  const removed = await removalOptions(part, context);
  const sites = part.sites.length > 0 ? part.sites : (part.pool?.consumers.map(({ site }) => site) ?? []);
  const changed = [...factored, ...removed].filter(({ data }) => data.length > 0);
  const options = [denseOption(part, context), ...changed];
  return { name: part.name, sites: sites.map(({ name }) => name), options };
};
