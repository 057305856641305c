import { allocate, allocateForLoss } from '../analysis/budget/allocate.ts';
import { hullSteps, lowerHull, undominated } from '../analysis/budget/choice.ts';

/** What an option costs: stored bytes, elements of weights, multiplications an item (a token, an image). */
export interface OptionCost {
  readonly bytes: number;
  readonly parameters: number;
  readonly operations: number;
}

/** A cost that a budget can be stated in. */
export type CostMeasure = keyof OptionCost;

/** One way to treat a part of a model; what it costs and what it loses is all that an allocation looks at. */
export interface CompressionOption<Data = unknown> {
  /** 'dense', 'low-rank', 'removal', 'bits', … */
  readonly kind: string;
  /** For people: 'rank 12', '96 of 172 neurons', 'int4 g32'. */
  readonly label: string;
  readonly cost: OptionCost;
  /** Predicted loss in nats an item. */
  readonly loss: number;
  readonly data: Data;
}

/** A part of a model (a site, or sites that must be treated together): exactly one of its options is taken. */
export interface CompressionChoice<Data = unknown> {
  readonly name: string;
  /** Sites that the choice is about, for reports. */
  readonly sites: readonly string[];
  readonly options: readonly CompressionOption<Data>[];
}

/** What a search is held to: at most so much of a cost, or of predicted loss. */
export type Limit =
  | { readonly kind: 'cost'; readonly measure: CostMeasure; readonly most: number }
  | { readonly kind: 'loss'; readonly measure: CostMeasure; readonly most: number };

export interface OptionAllocation<Data = unknown> {
  /** The option taken, by choice. */
  readonly picks: readonly CompressionOption<Data>[];
  readonly cost: OptionCost;
  readonly loss: number;
  /** Nothing within the limit can lose less; equals `loss` where the search was exact. Undefined for a limited loss. */
  readonly lowerBound: number | undefined;
}

export const noCost: OptionCost = { bytes: 0, parameters: 0, operations: 0 };

export const addCosts = (a: OptionCost, b: OptionCost): OptionCost => ({
  bytes: a.bytes + b.bytes,
  parameters: a.parameters + b.parameters,
  operations: a.operations + b.operations,
});

export const sumCosts = (costs: readonly OptionCost[]): OptionCost => costs.reduce(addCosts, noCost);

const inMeasure = (choices: readonly CompressionChoice[], measure: CostMeasure) =>
  choices.map(({ name, options }) => ({
    name,
    options: options.map(({ cost, loss }) => ({ cost: cost[measure], loss })),
  }));

const allocationOf = <Data>(
  choices: readonly CompressionChoice<Data>[],
  indices: readonly number[],
  lowerBound: number | undefined,
): OptionAllocation<Data> => {
  const picks = choices.map(({ options }, choice) => options[indices[choice]!]!);
  return {
    picks,
    cost: sumCosts(picks.map(({ cost }) => cost)),
    loss: picks.reduce((sum, { loss }) => sum + loss, 0),
    lowerBound,
  };
};

/**
 * One option of each choice: the least predicted loss within a cost, or the least cost within a predicted loss; exact
 * (see `allocate`). @throws 'mismatch' when even the cheapest options do not fit.
 */
export const allocateOptions = <Data>(
  choices: readonly CompressionChoice<Data>[],
  limit: Limit,
): OptionAllocation<Data> => {
  const list = inMeasure(choices, limit.measure);
  if (limit.kind === 'loss') return allocationOf(choices, allocateForLoss(list, limit.most).picks, undefined);
  const { picks, lowerBound } = allocate(list, limit.most);
  return allocationOf(choices, picks, lowerBound);
};

/**
 * The allocations along the convex hull, from the cheapest to the one that loses least, each the best for its cost:
 * what a budget can buy, for plots, plans and for joining choices.
 */
export const optionFront = <Data>(
  choices: readonly CompressionChoice<Data>[],
  measure: CostMeasure,
): OptionAllocation<Data>[] => {
  const hulls = inMeasure(choices, measure).map(({ options }) => lowerHull(undominated(options)));
  const indices = hulls.map((hull) => hull[0]!.index);
  return [
    allocationOf(choices, indices, undefined),
    ...hullSteps(hulls).map((step) => {
      indices[step.choice] = step.to;
      return allocationOf(choices, indices, undefined);
    }),
  ];
};

/** Several choices as one whose options are the allocations along their front: for what competes with all of them at once. */
export const joinChoices = <Data>(
  name: string,
  choices: readonly CompressionChoice<Data>[],
  measure: CostMeasure,
): CompressionChoice<readonly Data[]> => ({
  name,
  sites: choices.flatMap(({ sites }) => sites),
  options: optionFront(choices, measure).map(({ picks, cost, loss }) => ({
    kind: [...new Set(picks.map(({ kind }) => kind))].filter((kind) => kind !== 'dense').join('+') || 'dense',
    label: picks.map(({ label }) => label).join(', '),
    cost,
    loss,
    data: picks.map(({ data }) => data),
  })),
});
