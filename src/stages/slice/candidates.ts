import type { ChannelGroup, ChannelGroups } from '../../analysis/channel-groups/groups.ts';
import type { Site } from '../../analysis/sites.ts';
import { findSites } from '../../analysis/sites.ts';
import type { CountLimits } from '../../curvature/removal/choices.ts';
import { branchEnds } from '../../curvature/removal/empty-branch.ts';
import { isMeasured, type RemovalPool, removalPools } from '../../curvature/removal/pools.ts';
import { CompressError } from '../../errors.ts';
import type { Program } from '../../ir/graph.ts';
import type { Finding } from '../../recipe/events.ts';
import { compileSelector, findUnmatched } from '../select-sites.ts';
import { looksAtData, rankingOf, type SliceOptions } from './options.ts';

/** Channels that the options allow to go, and why others stay. */
export interface Candidates {
  readonly pools: readonly RemovalPool[];
  readonly limitsOf: (pool: RemovalPool) => CountLimits;
  readonly findings: readonly Finding[];
}

const kindWords: Readonly<Record<ChannelGroup['kind'], string>> = {
  heads: 'heads',
  neurons: 'neurons',
  channels: 'channels of convolutions',
  stream: 'residual streams',
  states: 'states of recurrent layers',
};

/** Why a group stays; undefined where its channels may go. */
const obstacle = (
  group: ChannelGroup,
  options: SliceOptions,
  isChosen: (site: Site) => boolean,
): string | undefined => {
  if (!options.kinds.includes(group.kind)) return `${kindWords[group.kind]} are not among the kinds asked for`;
  if (group.consumers.length === 0) return 'no product reads them';
  if (group.statistics !== undefined) return `${group.statistics} takes statistics over them`;
  if (looksAtProducts(options) && !isMeasured(group))
    return 'a recurrent layer reads them, of which there is no curvature (magnitude removes without)';
  const sites = group.producers.map(({ site }) => site);
  const chosen = sites.filter(isChosen);
  if (chosen.length === 0) return 'targets and ignore leave them out';
  if (
    chosen.length < sites.length &&
    shareWeight(
      chosen,
      sites.filter((site) => !chosen.includes(site)),
    )
  )
    throw new CompressError({
      code: 'mismatch',
      message: `${chosen[0]!.name} and ${sites.find((site) => !chosen.includes(site))!.name} share a weight, so their channels cannot be cut for one of them alone`,
      where: { site: chosen[0]!.name },
      hint: 'Name both of them in targets, or both in ignore.',
    });
  return chosen.length < sites.length ? 'ignore names one of the sites that compute them together' : undefined;
};

/** Whether the method looks at what products read. */
const looksAtProducts = ({ method }: SliceOptions): boolean => {
  const ranking = rankingOf(method);
  return ranking === undefined || looksAtData(ranking);
};

const shareWeight = (some: readonly Site[], others: readonly Site[]): boolean => {
  const weights = new Set(some.map(({ weight }) => weight));
  return others.some(({ weight }) => weights.has(weight));
};

/** `a, b and 3 more`. */
const listed = (names: readonly string[]): string =>
  names.length <= 3 ? names.join(', ') : `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`;

/** One finding a reason. */
const staying = (reasons: ReadonlyMap<string, readonly string[]>): Finding[] =>
  [...reasons].map(([reason, names]) => ({ kind: 'fact', text: `kept whole, since ${reason}: ${listed(names)}` }));

/** The sites that options name. */
export const chosenSites = ({ targets: wanted, ignore }: Pick<SliceOptions, 'targets' | 'ignore'>) => {
  const [targets, ignored] = [wanted.map(compileSelector), ignore.map(compileSelector)];
  const isChosen = (site: Site): boolean =>
    targets.some((selector) => selector.matches(site)) && !ignored.some((selector) => selector.matches(site));
  return { targets, ignored, isChosen };
};

/** Sorts the groups of a program into pools that may lose channels and findings about those that stay. */
export const findCandidates = (program: Program, found: ChannelGroups, options: SliceOptions): Candidates => {
  const sites = findSites(program);
  const { targets, ignored, isChosen } = chosenSites(options);
  const reasons = new Map<string, string[]>();
  const note = (reason: string, name: string): void => {
    reasons.set(reason, [...(reasons.get(reason) ?? []), name]);
  };
  const groups = found.groups.filter((group) => {
    const reason = obstacle(group, options, isChosen);
    if (reason !== undefined) note(reason, group.name);
    return reason === undefined;
  });
  for (const { site, count, reason } of found.excluded) note(reason, `${count} outputs of ${site}`);
  const ends = branchEnds(program);
  return {
    pools: removalPools(groups),
    limitsOf: (pool) => ({
      multiple: options.multiple,
      most: Math.min(...pool.groups.map(({ kind }) => options.most[kind])),
      mayEmpty: options.wholeBranches && pool.consumers.every(({ site }) => ends.has(site.name)),
    }),
    findings: [
      ...staying(reasons),
      ...findUnmatched('targets', targets, sites),
      ...findUnmatched('ignore', ignored, sites),
    ],
  };
};
