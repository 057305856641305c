import { type ChannelGroups, type ChannelKind, findChannelGroups } from '../../analysis/channel-groups/groups.ts';
import type { Site } from '../../analysis/sites.ts';
import { branchEnds } from '../../curvature/removal/empty-branch.ts';
import { isMeasured, type RemovalPool, removalPools } from '../../curvature/removal/pools.ts';
import type { Program } from '../../ir/graph.ts';
import type { AutoOptions } from './options.ts';

/** Sites that are decided about together: those that compute or read the channels of one pool, or a single site. */
export interface Part {
  readonly name: string;
  /** Sites in execution order; those that options of a site's own (ranks, bits) may be taken for. */
  readonly sites: readonly Site[];
  /** Channels that may go; undefined where none may. */
  readonly pool: RemovalPool | undefined;
  /** All channels of the pool may go, with the branch that they make up. */
  readonly mayEmpty: boolean;
}

export interface Parts {
  readonly parts: readonly Part[];
  /** What the pools were found in; cutting goes through it. */
  readonly found: ChannelGroups;
}

const sitesOf = (pool: RemovalPool): Set<string> =>
  new Set(pool.groups.flatMap(({ producers, consumers }) => [...producers, ...consumers].map(({ site }) => site.name)));

/** Integers save more than a few channels: where widths are chosen, the weights of chains keep their channels. */
export const chainsOf = ({ kinds }: Pick<AutoOptions, 'kinds'>): 'channels' | 'weights' =>
  kinds.includes('bits') ? 'weights' : 'channels';

/**
 * Divides the chosen sites of a program into parts. Channels may go where every site that computes or reads them is
 * chosen and no operator takes statistics over them. A site whose rows belong to one pool and whose columns to another
 * (the convolutions of a chain) cannot be decided about apart from both: either its channels may go ('channels'), or its
 * weight may be stored otherwise ('weights').
 */
export const findParts = (
  program: Program,
  chosen: readonly Site[],
  kinds: readonly ChannelKind[],
  inChains: 'channels' | 'weights',
): Parts => {
  const found = findChannelGroups(program);
  const names = new Set(chosen.map(({ name }) => name));
  const groups = found.groups.filter(
    (group) =>
      kinds.includes(group.kind) &&
      group.consumers.length > 0 &&
      group.statistics === undefined &&
      isMeasured(group) &&
      [...group.producers, ...group.consumers].every(({ site }) => names.has(site.name)),
  );
  const pools = removalPools(groups);
  const poolsOfSite = new Map<string, number>();
  for (const pool of pools) for (const name of sitesOf(pool)) poolsOfSite.set(name, (poolsOfSite.get(name) ?? 0) + 1);
  const isAlone = (pool: RemovalPool): boolean => [...sitesOf(pool)].every((name) => poolsOfSite.get(name) === 1);
  const taken = inChains === 'channels' ? pools : pools.filter(isAlone);
  const pooledSites = new Set(taken.flatMap((pool) => [...sitesOf(pool)]));
  const ends = branchEnds(program);
  const pooled = taken.map((pool): Part => {
    const own = sitesOf(pool);
    return {
      name: pool.name,
      sites: isAlone(pool) ? chosen.filter(({ name }) => own.has(name)) : [],
      pool,
      mayEmpty: pool.consumers.every(({ site }) => ends.has(site.name)),
    };
  });
  const single = chosen
    .filter(({ name }) => !pooledSites.has(name))
    .map((site): Part => ({ name: site.name, sites: [site], pool: undefined, mayEmpty: false }));
  return { parts: [...pooled, ...single], found };
};
