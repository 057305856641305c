import type { Site } from '../../analysis/sites.ts';
import type { CompressionChoice, CompressionOption } from '../../curvature/options.ts';
import { factorObstacle } from '../factorize/factor-site.ts';
import { formOptions } from '../factorize/forms/index.ts';
import { rankCost, rankOptions } from '../factorize/low-rank.ts';
import { mostRank } from '../factorize/select.ts';
import type { Edit } from './edit.ts';
import type { CompressionKind } from './options.ts';
import type { SiteMetrics } from './site-metrics.ts';
import type { Widths } from './widths.ts';

export type EditOption = CompressionOption<readonly Edit[]>;
export type EditChoice = CompressionChoice<readonly Edit[]>;

/** What may be done to a site by itself. */
export interface SiteChoiceContext {
  readonly kinds: readonly CompressionKind[];
  readonly metrics: SiteMetrics;
  /** Ranks are multiples of this. */
  readonly multiple: number;
  /** What widths lose; undefined where all weights stay floating point. */
  readonly widths: Widths | undefined;
  readonly signal: AbortSignal;
}

export const denseOf = (site: Site, metrics: SiteMetrics): EditOption => ({
  kind: 'dense',
  label: 'dense',
  cost: rankCost(site, 'dense', metrics.positionsPerItem(site)),
  loss: 0,
  data: [],
});

/** Ranks of a site, and other forms of a convolution. */
const factoredOptions = async (site: Site, context: SiteChoiceContext): Promise<EditOption[]> => {
  const { kinds, metrics, multiple, signal } = context;
  if (!kinds.includes('low-rank') || factorObstacle(site) || mostRank(site) < 1) return [];
  const positionsPerItem = metrics.positionsPerItem(site);
  const { losses } = await metrics.spectrumOf(site);
  const ranks = rankOptions(site, losses, { positionsPerItem, multiple }).options.flatMap(
    ({ data, ...option }): EditOption[] =>
      data === 'dense' ? [] : [{ ...option, data: [{ kind: 'factor', site: site.name, rank: data }] }],
  );
  const moments = metrics.momentsOf(site);
  const forms = await formOptions(['tucker', 'canonical'], { site, moments, positionsPerItem, multiple, signal });
  return [
    ...ranks,
    ...forms.map(
      ({ data, ...option }): EditOption => ({ ...option, data: [{ kind: 'form', site: site.name, write: data }] }),
    ),
  ];
};

/** Every way to store one weight: dense first, its ranks, and all of these in every width. */
export const choiceOfSite = async (site: Site, context: SiteChoiceContext): Promise<EditChoice> => {
  const structures = [denseOf(site, context.metrics), ...(await factoredOptions(site, context))];
  const packed = await context.widths?.optionsFor(site, structures, context.metrics);
  return { name: site.name, sites: [site.name], options: [...structures, ...(packed ?? [])] };
};
