import type { ChannelGroups } from '../../analysis/channel-groups/groups.ts';
import { findSites } from '../../analysis/sites.ts';
import type { Curvature } from '../../curvature/moments.ts';
import { applyRemoval } from '../../curvature/removal/apply.ts';
import type { RemovalPick } from '../../curvature/removal/choices.ts';
import { internalError } from '../../errors.ts';
import type { Program } from '../../ir/graph.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import { factorSite } from '../factorize/factor-site.ts';
import type { Factors } from '../factorize/methods/method.ts';

/** What an option does to the program. */
export type Edit =
  | { readonly kind: 'factor'; readonly site: string; readonly rank: number }
  | { readonly kind: 'remove'; readonly pick: RemovalPick };

export interface ApplyRequest {
  /** Changed in place. */
  readonly program: Program;
  /** Channel groups of this program as it is. */
  readonly found: ChannelGroups;
  readonly edits: readonly Edit[];
  readonly curvature: Curvature;
  readonly factorsOf: (site: string, rank: number) => Promise<Factors>;
  readonly signal: AbortSignal;
}

/** Carries out edits of different parts: channels are cut first, weights that stay whole are factorised then. */
export const applyEdits = async ({
  program,
  found,
  edits,
  curvature,
  factorsOf,
  signal,
}: ApplyRequest): Promise<void> => {
  const picks = edits.flatMap((edit) => (edit.kind === 'remove' ? [edit.pick] : []));
  await applyRemoval(program, found, picks, { curvature, signal });
  const sites = new Map(findSites(program).map((site) => [site.name, site]));
  for (const edit of edits) {
    if (edit.kind !== 'factor') continue;
    const site = sites.get(edit.site);
    if (!site) throw internalError('a weight that is to be factorised is gone', { site: edit.site });
    factorSite(site, await factorsOf(edit.site, edit.rank), edit.rank);
  }
  inferShapes(program);
};
