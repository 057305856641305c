import { type BudgetOption, lowerHull, undominated } from '../../analysis/budget/choice.ts';
import { type CompressionOption, type CostMeasure, sumCosts } from '../../curvature/options.ts';

/** Neighbouring layers from `first` up to `end`, and what they may become together. */
export interface LayerRun<Data> {
  readonly first: number;
  readonly end: number;
  readonly options: readonly CompressionOption<Data>[];
}

interface Best<Data> {
  readonly value: number;
  readonly option: CompressionOption<Data> | undefined;
  /** Where the last run begins. */
  readonly from: number;
}

/** What a unit of cost and one of loss count. */
interface Price {
  readonly cost: number;
  readonly loss: number;
}

/** The cut into runs that is cheapest at a price: a shortest path along the layers. */
const cutAt = <Data>(
  count: number,
  runs: readonly LayerRun<Data>[],
  measure: CostMeasure,
  price: Price,
): CompressionOption<Data>[] | undefined => {
  const best: (Best<Data> | undefined)[] = [{ value: 0, option: undefined, from: 0 }];
  for (let end = 1; end <= count; end++)
    for (const run of runs) {
      const before = best[run.first];
      if (run.end !== end || !before) continue;
      for (const option of run.options) {
        const value = before.value + price.loss * option.loss + price.cost * option.cost[measure];
        if (value < (best[end]?.value ?? Number.POSITIVE_INFINITY)) best[end] = { value, option, from: run.first };
      }
    }
  const taken: CompressionOption<Data>[] = [];
  for (let at = count; at > 0; ) {
    const step = best[at];
    if (!step?.option) return undefined;
    taken.unshift(step.option);
    at = step.from;
  }
  return taken;
};

interface Cut<Data> extends BudgetOption {
  readonly options: readonly CompressionOption<Data>[];
}

/** Cuts on the convex hull beyond which no more are looked for. */
const mostCuts = 256;

/**
 * Ways to cut layers in a row into runs of neighbours and to treat each run, along the convex hull of cost and loss: the
 * options of all layers together. Every layer belongs to exactly one run; where runs cannot be joined to all of the
 * layers there are none. Between two cuts on the hull lies another, if any, at the price at which both are worth the same.
 */
export const partitionFront = <Data>(
  count: number,
  runs: readonly LayerRun<Data>[],
  measure: CostMeasure,
): CompressionOption<readonly Data[]>[] => {
  const at = (price: Price): Cut<Data> | undefined => {
    const options = cutAt(count, runs, measure, price);
    return options && { options, cost: sumCosts(options.map(({ cost }) => cost))[measure], loss: lossOf(options) };
  };
  const [cheapest, best] = [at({ cost: 1, loss: 0 }), at({ cost: 0, loss: 1 })];
  if (!cheapest || !best) return [];
  const hull = [cheapest, best];
  for (let index = 0; index + 1 < hull.length && hull.length < mostCuts; ) {
    const [low, high] = [hull[index]!, hull[index + 1]!];
    const price = { cost: low.loss - high.loss, loss: high.cost - low.cost };
    const between = price.cost > 0 && price.loss > 0 ? at(price) : undefined;
    const worth = (cut: BudgetOption): number => price.cost * cut.cost + price.loss * cut.loss;
    if (between && worth(between) < worth(low) * (1 - 1e-12)) hull.splice(index + 1, 0, between);
    else index++;
  }
  return lowerHull(undominated(hull)).map(({ index }): CompressionOption<readonly Data[]> => {
    const { options, loss } = hull[index]!;
    const kinds = [...new Set(options.map(({ kind }) => kind))].filter((kind) => kind !== 'dense');
    return {
      kind: kinds.join('+') || 'dense',
      label: options.map(({ label }) => label).join('; '),
      cost: sumCosts(options.map(({ cost }) => cost)),
      loss,
      data: options.map(({ data }) => data),
    };
  });
};

const lossOf = <Data>(options: readonly CompressionOption<Data>[]): number =>
  options.reduce((sum, { loss }) => sum + loss, 0);
