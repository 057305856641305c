import type { ChannelGroups, RemovedChannels } from '../../analysis/channel-groups/groups.ts';
import { readSiteMatrix, writeSiteMatrix } from '../../analysis/site-weights.ts';
import type { Program } from '../../ir/graph.ts';
import { type Curvature, inputMoment } from '../moments.ts';
import { ridgeSolution } from '../obs-removal.ts';
import type { RemovalPick } from './choices.ts';
import { emptyBranch } from './empty-branch.ts';
import { channelsOf } from './pools.ts';

export interface ApplyOptions {
  /** Consumers get the ridge solution for what is removed; without it, their weights are only cut. */
  readonly curvature?: Curvature | undefined;
  readonly damp?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Writes the ridge solution of a consumer into the columns that stay; those that go keep their old weights until the cut. */
const compensate = async (pick: RemovalPick, curvature: Curvature, options: ApplyOptions): Promise<void> => {
  for (const { site, lines } of pick.pool.consumers) {
    const known = curvature.sites.get(site.name);
    if (!known) continue;
    const gone = new Set(pick.units.flatMap((unit) => lines[unit]!));
    const kept = Array.from({ length: site.columns }, (_, column) => column).filter((column) => !gone.has(column));
    if (gone.size === 0 || kept.length === 0) continue;
    const { rows, columns } = site;
    const matrix = Float32Array.from(readSiteMatrix(site));
    const solution = await ridgeSolution({
      weight: matrix,
      rows,
      columns,
      inputMoment: inputMoment(known),
      kept,
      damp: options.damp,
      signal: options.signal,
    });
    for (let row = 0; row < rows; row++)
      kept.forEach((column, at) => {
        matrix[row * columns + column] = solution[row * kept.length + at]!;
      });
    writeSiteMatrix(site, matrix);
  }
};

/**
 * Removes what was picked from the program that `found` was found in, in place: consumers make up for what they lose,
 * channels are cut, branches without any channel left go.
 */
export const applyRemoval = async (
  program: Program,
  found: ChannelGroups,
  picks: readonly RemovalPick[],
  options: ApplyOptions = {},
): Promise<RemovedChannels> => {
  const removed = new Map<string, readonly number[]>();
  const emptied = picks.filter(({ pool, units }) => units.length === pool.units.length);
  for (const pick of picks) {
    if (pick.units.length === 0 || emptied.includes(pick)) continue;
    if (options.curvature) await compensate(pick, options.curvature, options);
    for (const [group, channels] of channelsOf(pick.pool, pick.units)) removed.set(group, channels);
  }
  if (removed.size > 0) found.cut(removed);
  for (const pick of emptied) {
    for (const { site } of pick.pool.consumers) emptyBranch(program, site);
    for (const [group, channels] of channelsOf(pick.pool, pick.units)) removed.set(group, channels);
  }
  return removed;
};
