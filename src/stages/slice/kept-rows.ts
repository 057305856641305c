import type { ChannelGroups, RemovedChannels } from '../../analysis/channel-groups/groups.ts';

/** Which outputs of the model before are still there, through any number of cuts. */
export class KeptRows {
  readonly #kept = new Map<string, readonly number[]>();

  /** Follows a cut of channels; `found` as it was before the cut. */
  cut({ groups }: ChannelGroups, removed: RemovedChannels): void {
    const gone = new Map<string, Set<number>>();
    const sizes = new Map<string, number>();
    for (const { name, producers } of groups)
      for (const { site, lines } of producers) {
        const rows = gone.get(site.name) ?? new Set<number>();
        for (const channel of removed.get(name) ?? []) for (const row of lines[channel]!) rows.add(row);
        gone.set(site.name, rows);
        sizes.set(site.name, site.rows);
      }
    for (const [site, rows] of gone)
      if (rows.size > 0)
        this.#kept.set(
          site,
          this.of(site, sizes.get(site)!).filter((_, row) => !rows.has(row)),
        );
  }

  /** For each of the `rows` outputs that a site has now: its number among those that it had. */
  of(site: string, rows: number): readonly number[] {
    return this.#kept.get(site) ?? Array.from({ length: rows }, (_, row) => row);
  }
}
