import { type BudgetOption, undominated } from '../../analysis/budget/choice.ts';
import { type CompressionOption, type CostMeasure, joinChoices, sumCosts } from '../../curvature/options.ts';

/** Neighbouring layers from `first` up to `end`, and what they may become together. */
export interface LayerRun<Data> {
  readonly first: number;
  readonly end: number;
  readonly options: readonly CompressionOption<Data>[];
}

/** A run and what is taken of it. */
interface Taken<Data> {
  readonly run: LayerRun<Data>;
  readonly option: CompressionOption<Data>;
}

interface Best<Data> {
  readonly value: number;
  readonly last: Taken<Data> | undefined;
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
): Taken<Data>[] | undefined => {
  const best: (Best<Data> | undefined)[] = [{ value: 0, last: undefined }];
  for (let end = 1; end <= count; end++)
    for (const run of runs) {
      const before = best[run.first];
      if (run.end !== end || !before) continue;
      for (const option of run.options) {
        const value = before.value + price.loss * option.loss + price.cost * option.cost[measure];
        if (value < (best[end]?.value ?? Number.POSITIVE_INFINITY)) best[end] = { value, last: { run, option } };
      }
    }
  const taken: Taken<Data>[] = [];
  for (let at = count; at > 0; at = taken[0]!.run.first) {
    const last = best[at]?.last;
    if (!last) return undefined;
    taken.unshift(last);
  }
  return taken;
};

interface Cut<Data> extends BudgetOption {
  readonly taken: readonly Taken<Data>[];
}

/** Cuts on the convex hull beyond which no more are looked for. */
const mostCuts = 256;

/** Cuts along the convex hull: between two of them lies another, if any, at the price at which both are worth the same. */
const hullOfCuts = <Data>(count: number, runs: readonly LayerRun<Data>[], measure: CostMeasure): Cut<Data>[] => {
  const at = (price: Price): Cut<Data> | undefined => {
    const taken = cutAt(count, runs, measure, price);
    return (
      taken && {
        taken,
        cost: sumCosts(taken.map(({ option }) => option.cost))[measure],
        loss: taken.reduce((sum, { option }) => sum + option.loss, 0),
      }
    );
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
  return hull;
};

/**
 * Ways to cut layers in a row into runs of neighbours and to treat each run: the options of all layers together, by rising
 * cost and falling loss. Every layer belongs to exactly one run; where runs cannot be joined to all of the layers there are
 * none. The cuts are those along the convex hull of cost and loss, each with all that its own runs can be between.
 */
export const partitionFront = <Data>(
  count: number,
  runs: readonly LayerRun<Data>[],
  measure: CostMeasure,
): CompressionOption<readonly Data[]>[] => {
  const found = new Map<string, CompressionOption<readonly Data[]>[]>();
  for (const { taken } of hullOfCuts(count, runs, measure)) {
    const key = taken.map(({ run }) => run.end).join(' ');
    if (found.has(key)) continue;
    const choices = taken.map(({ run }) => ({ name: '', sites: [], options: run.options }));
    found.set(key, [...joinChoices('', choices, measure).options]);
  }
  const all = [...found.values()].flat();
  return undominated(all.map(({ cost, loss }) => ({ cost: cost[measure], loss }))).map(({ index }) => all[index]!);
};
