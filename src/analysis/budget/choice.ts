/** One way to treat a site: what it costs (stored bytes, operations, milliseconds) and what it loses (predicted nats). */
export interface BudgetOption {
  readonly cost: number;
  readonly loss: number;
}

/** A site, or several that must be treated alike: exactly one of its options is taken. */
export interface BudgetChoice<Option extends BudgetOption = BudgetOption> {
  readonly name: string;
  readonly options: readonly Option[];
}

/** An option on the lower convex hull of a choice, by rising cost and falling loss. */
export interface HullPoint extends BudgetOption {
  /** Index among the choice's options. */
  readonly index: number;
}

/** Options that no other option beats in both cost and loss, by rising cost (ties: the smaller loss, the earlier index). */
export const undominated = (options: readonly BudgetOption[]): HullPoint[] => {
  const sorted = options
    .map(({ cost, loss }, index) => ({ cost, loss, index }))
    .sort((a, b) => a.cost - b.cost || a.loss - b.loss || a.index - b.index);
  const kept: HullPoint[] = [];
  for (const option of sorted) if (kept.length === 0 || option.loss < kept.at(-1)!.loss) kept.push(option);
  return kept;
};

/** The lower convex hull of undominated options: loss falls ever more slowly as cost rises. */
export const lowerHull = (options: readonly HullPoint[]): HullPoint[] => {
  const hull: HullPoint[] = [];
  for (const point of options) {
    while (hull.length >= 2) {
      const [a, b] = [hull.at(-2)!, hull.at(-1)!];
      if ((b.loss - a.loss) * (point.cost - b.cost) <= (point.loss - b.loss) * (b.cost - a.cost)) break;
      hull.pop();
    }
    hull.push(point);
  }
  return hull;
};

/** A step along a hull: paying `cost` more loses `loss` less; `rate` = saved loss per unit of cost. */
export interface HullStep {
  readonly choice: number;
  readonly cost: number;
  readonly saved: number;
  readonly rate: number;
  /** Index of the option that the step leads to. */
  readonly to: number;
}

/** All steps of all hulls by falling rate (ties by choice, then by order on the hull). */
export const hullSteps = (hulls: readonly (readonly HullPoint[])[]): HullStep[] =>
  hulls
    .flatMap((hull, choice) =>
      hull.slice(1).map((point, order): HullStep => {
        const before = hull[order]!;
        const cost = point.cost - before.cost;
        const saved = before.loss - point.loss;
        return { choice, cost, saved, rate: saved / cost, to: point.index };
      }),
    )
    .sort((a, b) => b.rate - a.rate || a.choice - b.choice || a.cost - b.cost);
