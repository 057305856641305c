import { findSites, type Site } from '../../analysis/sites.ts';
import { gramObstacle } from '../../calibration/statistics/gram.ts';
import type { Program } from '../../ir/graph.ts';
import type { Finding } from '../../recipe/events.ts';
import { selectSites } from '../select-sites.ts';
import { factorObstacle } from './factor-site.ts';

export interface FactorSelection {
  /** Sites that can be factorised, in execution order. */
  readonly chosen: readonly Site[];
  /** The others, with the reason. */
  readonly kept: ReadonlyMap<Site, string>;
  readonly findings: readonly Finding[];
}

/** Ranks at which two factors have fewer elements than the weight. */
export const mostRank = ({ rows, columns }: Pick<Site, 'rows' | 'columns'>): number =>
  Math.ceil((rows * columns) / (rows + columns)) - 1;

/** Sites that patterns name and that can be written with two factors; those that cannot are named with the reason. */
export const selectFactored = (
  program: Program,
  patterns: { readonly targets: readonly string[]; readonly ignore: readonly string[] },
): FactorSelection => {
  const { chosen, kept, findings } = selectSites(findSites(program), patterns);
  const left = new Map(kept);
  const possible: Site[] = [];
  for (const site of chosen) {
    const why =
      gramObstacle(site) ??
      factorObstacle(site) ??
      (mostRank(site) < 1 ? 'no rank has fewer elements than the weight itself' : undefined);
    if (why) left.set(site, why);
    else possible.push(site);
  }
  return { chosen: possible, kept: left, findings };
};
