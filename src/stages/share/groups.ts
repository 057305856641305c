import { siteTensor } from '../../analysis/site-weights.ts';
import { findSites, type Site } from '../../analysis/sites.ts';
import { gramObstacle } from '../../calibration/statistics/gram.ts';
import type { Program } from '../../ir/graph.ts';
import type { Finding } from '../../recipe/events.ts';
import { factorObstacle } from '../factorize/factor-site.ts';
import { selectSites } from '../select-sites.ts';
import type { ShareOptions } from './options.ts';

/** Sites of different layers that do the same and may read the same weights, in the order of layers. */
export interface ShareGroup {
  readonly name: string;
  readonly sites: readonly Site[];
}

/** All layers of one part whose weights have the same size, in the order of layers. */
export interface ShareLane {
  /** The role of the sites, or their place in the block. */
  readonly part: string;
  readonly sites: readonly Site[];
}

/** Sites in none, with the reason, and what is to be said of the choice. */
interface LeftOver {
  readonly kept: ReadonlyMap<Site, string>;
  readonly findings: readonly Finding[];
}

export interface ShareLanes extends LeftOver {
  readonly lanes: readonly ShareLane[];
}

export interface ShareGroups extends LeftOver {
  readonly groups: readonly ShareGroup[];
}

const obstacleOf = (site: Site): string | undefined => {
  if (site.block === undefined) return 'it is in no numbered block';
  if (site.op !== 'MatMul' && site.op !== 'Gemm') return `weights of ${site.op} are not shared`;
  return gramObstacle(site) ?? factorObstacle(site)?.replace('factorise', 'share');
};

/** What a site does in its block: its role, or its place among the block's sites. */
const partsOf = (sites: readonly Site[]): Map<Site, string> => {
  const counts = new Map<number, number>();
  return new Map(
    sites.map((site) => {
      const block = site.block!;
      const place = counts.get(block) ?? 0;
      counts.set(block, place + 1);
      return [site, site.role ?? `product ${place}`];
    }),
  );
};

const sizeOf = (site: Site): string => `${site.rows} × ${site.columns} ${siteTensor(site).dtype} ${site.layout}`;

const bySize = (sites: readonly Site[]): Map<string, Site[]> => {
  const sizes = new Map<string, Site[]>();
  for (const site of sites) sizes.set(sizeOf(site), [...(sizes.get(sizeOf(site)) ?? []), site]);
  return sizes;
};

/** The chosen sites by what they do; what can share with no other layer is named with the reason. */
export const findShareLanes = (program: Program, options: Pick<ShareOptions, 'targets' | 'ignore'>): ShareLanes => {
  const { chosen, kept: left, findings } = selectSites(findSites(program), options);
  const kept = new Map(left);
  const possible = chosen.filter((site) => {
    const why = obstacleOf(site);
    if (why) kept.set(site, why);
    return why === undefined;
  });
  const parts = partsOf(possible);
  const byPart = new Map<string, Site[]>();
  for (const site of possible) byPart.set(parts.get(site)!, [...(byPart.get(parts.get(site)!) ?? []), site]);
  const lanes: ShareLane[] = [];
  for (const [part, sites] of byPart) {
    const sizes = bySize(sites);
    for (const [size, alike] of sizes)
      if (alike.length > 1) lanes.push({ part, sites: alike });
      else
        kept.set(
          alike[0]!,
          sizes.size > 1
            ? `no other layer has a ${part} of ${size}: their shapes forbid sharing`
            : `there is one ${part}`,
        );
  }
  return { lanes, kept, findings };
};

export const groupOf = (part: string, sites: readonly Site[]): ShareGroup => ({
  name: `${part} of ${sites.length > 1 ? 'blocks' : 'block'} ${sites.map(({ block }) => block).join(', ')}`,
  sites,
});

/** Places of `count` layers cut into groups: neighbours, or every n-th. */
export const cutPlaces = (count: number, { group, pattern }: Pick<ShareOptions, 'group' | 'pattern'>): number[][] => {
  const size = typeof group === 'number' ? group : count;
  const groups = Math.ceil(count / size);
  const cut = Array.from({ length: groups }, (): number[] => []);
  for (let place = 0; place < count; place++)
    cut[pattern === 'adjacent' ? Math.floor(place / size) : place % groups]!.push(place);
  return cut;
};

/** Divides the chosen sites into groups of layers that may share; what cannot share is named with the reason. */
export const findShareGroups = (
  program: Program,
  options: Pick<ShareOptions, 'targets' | 'ignore' | 'group' | 'pattern'>,
): ShareGroups => {
  const { lanes, kept: left, findings } = findShareLanes(program, options);
  const kept = new Map(left);
  const groups: ShareGroup[] = [];
  for (const { part, sites } of lanes)
    for (const places of cutPlaces(sites.length, options)) {
      const members = places.map((place) => sites[place]!);
      if (members.length > 1) groups.push(groupOf(part, members));
      else kept.set(members[0]!, 'no layer is left to share with');
    }
  return { groups, kept, findings };
};
