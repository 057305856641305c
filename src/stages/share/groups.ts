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

export interface ShareGroups {
  readonly groups: readonly ShareGroup[];
  /** Sites in no group, with the reason. */
  readonly kept: ReadonlyMap<Site, string>;
  readonly findings: readonly Finding[];
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

/** Layers of one part cut into groups: neighbours, or every n-th. */
const cutLayers = (sites: readonly Site[], { group, pattern }: Pick<ShareOptions, 'group' | 'pattern'>): Site[][] => {
  const size = group === 'all' ? sites.length : group;
  const count = Math.ceil(sites.length / size);
  const cut = Array.from({ length: count }, (): Site[] => []);
  sites.forEach((site, index) => {
    cut[pattern === 'adjacent' ? Math.floor(index / size) : index % count]!.push(site);
  });
  return cut;
};

/** Divides the chosen sites into groups of layers that may share; what cannot share is named with the reason. */
export const findShareGroups = (program: Program, options: ShareOptions): ShareGroups => {
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
  const groups: ShareGroup[] = [];
  for (const [part, sites] of byPart) {
    const sizes = bySize(sites);
    for (const [size, alike] of sizes) {
      const cut = alike.length > 1 ? cutLayers(alike, options) : [alike];
      for (const members of cut) {
        const [first] = members;
        if (members.length > 1)
          groups.push({ name: `${part} of blocks ${members.map(({ block }) => block).join(', ')}`, sites: members });
        else if (first)
          kept.set(
            first,
            alike.length > 1
              ? 'no layer is left to share with'
              : sizes.size > 1
                ? `no other layer has a ${part} of ${size}: their shapes forbid sharing`
                : `there is one ${part}`,
          );
      }
    }
  }
  return { groups, kept, findings };
};
