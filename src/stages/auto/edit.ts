import { findSites } from '../../analysis/sites.ts';
import type { Curvature } from '../../curvature/moments.ts';
import type { FactoredWeight } from '../../curvature/refit-factors.ts';
import { applyRemoval } from '../../curvature/removal/apply.ts';
import type { RemovalPick } from '../../curvature/removal/choices.ts';
import { internalError } from '../../errors.ts';
import type { Program } from '../../ir/graph.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import { factorSite } from '../factorize/factor-site.ts';
import type { WriteForm } from '../factorize/forms/form.ts';
import { factoredWeight } from '../factorize/low-rank.ts';
import type { SharingOption } from '../share/methods/method.ts';
import { shareSites } from '../share/share-sites.ts';
import type { Parts } from './parts.ts';
import type { SiteMetrics } from './site-metrics.ts';

/** What an option does to the program. */
export type Edit =
  | { readonly kind: 'factor'; readonly site: string; readonly rank: number }
  | { readonly kind: 'form'; readonly site: string; readonly write: WriteForm }
  | { readonly kind: 'remove'; readonly pick: RemovalPick }
  | { readonly kind: 'share'; readonly sites: readonly string[]; readonly option: SharingOption };

export interface ApplyRequest {
  /** Changed in place. */
  readonly program: Program;
  /** Parts of this program as it is. */
  readonly parts: Parts;
  readonly edits: readonly Edit[];
  readonly curvature: Curvature;
  readonly metrics: SiteMetrics;
  readonly signal: AbortSignal;
}

/** The channels of a pick in a copy of the program that they were ranked in. */
const inParts = ({ parts }: Parts, { pool, units }: RemovalPick): RemovalPick => {
  const own = parts.find((part) => part.pool?.name === pool.name)?.pool;
  if (own?.units.length !== pool.units.length)
    throw internalError('the channels that are to be removed are not those of this program', { site: pool.name });
  return { pool: own, units };
};

/**
 * Carries out edits of different parts: channels are cut first, weights that stay whole are factorised or shared then.
 * Gives the weights that became two factors, by the name of their output, so that a refit can make them anew.
 */
export const applyEdits = async (request: ApplyRequest): Promise<Map<string, FactoredWeight>> => {
  const { program, parts, edits, curvature, metrics, signal } = request;
  const picks = edits.flatMap((edit) => (edit.kind === 'remove' ? [inParts(parts, edit.pick)] : []));
  await applyRemoval(program, parts.found, picks, { curvature, signal });
  const sites = new Map(findSites(program).map((site) => [site.name, site]));
  const siteOf = (name: string) => {
    const site = sites.get(name);
    if (!site) throw internalError('a weight that is to be changed is gone', { site: name });
    return site;
  };
  const factored = new Map<string, FactoredWeight>();
  for (const edit of edits) {
    if (edit.kind === 'factor') {
      const site = siteOf(edit.site);
      const { decomposition } = await metrics.spectrumOf(site);
      factored.set(site.output.name, factoredWeight(site, metrics.momentsOf(site), 'two-sided', signal));
      factorSite(site, decomposition.factors(edit.rank), edit.rank);
    } else if (edit.kind === 'form') edit.write(siteOf(edit.site));
    else if (edit.kind === 'share') shareSites(edit.sites.map(siteOf), await edit.option.weights());
  }
  inferShapes(program);
  return factored;
};
