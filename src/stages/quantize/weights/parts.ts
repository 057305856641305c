import { gramBytes, inputValue } from '../../../calibration/statistics/gram.ts';
import type { Node, Value } from '../../../ir/graph.ts';
import { needsCurvature, needsGram, type WeightUnit } from './plan.ts';

/** Units that are rounded from one look at the data. */
export type Step = readonly WeightUnit[];

/** Units by the level of their first site: those of one level (q, k and v; all experts) do not depend on each other. */
export const stepsByLevel = (units: readonly WeightUnit[], levels: ReadonlyMap<Node, number>): Step[] => {
  const steps = new Map<number, WeightUnit[]>();
  for (const unit of units) {
    const level = Math.min(...unit.sites.map((site) => levels.get(site.node) ?? 0));
    steps.set(level, [...(steps.get(level) ?? []), unit]);
  }
  return [...steps].sort(([one], [other]) => one - other).map(([, step]) => step);
};

/** A step in parts whose second moments fit the budget together, at least one unit each. */
export const partsWithin = (step: Step, maxBytes: number): Step[] => {
  const parts: WeightUnit[][] = [[]];
  const counted = new Set<Value>();
  let bytes = 0;
  for (const unit of step) {
    const [site] = unit.sites;
    const more = needsGram(unit) && !counted.has(inputValue(site)) ? gramBytes(site) : 0;
    if (bytes + more > maxBytes && bytes > 0) {
      parts.push([]);
      bytes = 0;
      counted.clear();
    }
    parts.at(-1)!.push(unit);
    bytes += more;
    counted.add(inputValue(site));
  }
  return parts;
};

/** Weights that are rounded side by side; the threads of libuv, in which kernels wait for their turn, are as many. */
const atOnce = 4;

/** Bytes of B that are held for weights side by side; a weight with more is rounded by itself. */
const mostOutputBytes = 1 << 25;

/** Bytes of B of a weight, as it is multiplied with where it is large. */
const outputBytes = (unit: WeightUnit): number => (needsCurvature(unit) ? 4 * unit.sites[0].rows ** 2 : 0);

/** Units that do not wait for each other, in runs of a few: kernels share the threads, and memory is for one or for some. */
export const sideBySide = (part: Step): Step[] => {
  const runs: WeightUnit[][] = [];
  let bytes = 0;
  for (const unit of part) {
    const more = outputBytes(unit);
    const last = runs.at(-1);
    if (last && last.length < atOnce && bytes + more <= mostOutputBytes) {
      last.push(unit);
      bytes += more;
    } else {
      runs.push([unit]);
      bytes = more;
    }
  }
  return runs;
};
