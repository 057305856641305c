import type { ChannelGroup, RemovedChannels, SiteUse } from '../../analysis/channel-groups/groups.ts';

/** One channel that may go. */
export interface PoolUnit {
  readonly group: ChannelGroup;
  readonly channel: number;
}

/** Channels that the same products read, so that removing one changes what another is worth. */
export interface RemovalPool {
  /** Name of the first group. */
  readonly name: string;
  readonly groups: readonly ChannelGroup[];
  readonly units: readonly PoolUnit[];
  /** Products that read the channels: their columns by unit. */
  readonly consumers: readonly SiteUse[];
}

/** Whether there is a curvature of every product that reads the channels: of recurrent layers there is none. */
export const isMeasured = ({ consumers }: ChannelGroup): boolean =>
  consumers.every(({ site }) => site.op !== 'LSTM' && site.op !== 'GRU');

const joinGroups = (groups: readonly ChannelGroup[]): RemovalPool => {
  const units = groups.flatMap((group) => Array.from({ length: group.count }, (_, channel) => ({ group, channel })));
  const bySite = new Map<string, { site: SiteUse['site']; lines: (readonly number[])[] }>();
  let first = 0;
  for (const group of groups) {
    for (const { site, lines } of group.consumers) {
      const use = bySite.get(site.name) ?? { site, lines: units.map(() => []) };
      bySite.set(site.name, use);
      lines.forEach((columns, channel) => {
        use.lines[first + channel] = [...use.lines[first + channel]!, ...columns];
      });
    }
    first += group.count;
  }
  return { name: groups[0]!.name, groups, units, consumers: [...bySite.values()] };
};

/** Groups joined by the products that read them, in the order of the first of each. */
export const removalPools = (groups: readonly ChannelGroup[]): RemovalPool[] => {
  const pools: ChannelGroup[][] = [];
  const poolOf = new Map<string, ChannelGroup[]>();
  for (const group of groups) {
    const known = [...new Set(group.consumers.map(({ site }) => poolOf.get(site.name)).filter((pool) => pool))];
    const pool = known[0] ?? [];
    if (known.length === 0) pools.push(pool);
    for (const other of known.slice(1)) {
      pool.push(...other!);
      pools.splice(pools.indexOf(other!), 1);
    }
    pool.push(group);
    for (const { consumers } of pool) for (const { site } of consumers) poolOf.set(site.name, pool);
  }
  return pools.map(joinGroups);
};

/** Units of a pool as channels by group. */
export const channelsOf = (pool: RemovalPool, units: Iterable<number>): RemovedChannels => {
  const removed = new Map<string, number[]>();
  for (const unit of units) {
    const { group, channel } = pool.units[unit]!;
    const list = removed.get(group.name);
    if (list) list.push(channel);
    else removed.set(group.name, [channel]);
  }
  return removed;
};
