import type { Site } from '../../analysis/sites.ts';
import type { Program } from '../../ir/graph.ts';
import { packedBytes } from '../quantize/weights/scheme.ts';
import type { ReportedOption } from '../sensitivity/report.ts';
import { choiceOfGroup } from '../share/group-choice.ts';
import { findShareGroups, type ShareGroup } from '../share/groups.ts';
import { shareStage } from '../share/index.ts';
import type { StageContext } from '../stage.ts';
import { bytesPerProduct } from './file-bytes.ts';
import type { AutoOptions } from './options.ts';
import type { EditChoice, EditOption } from './site-choice.ts';
import type { SiteMetrics } from './site-metrics.ts';
import { schemeOf, type Widths } from './widths.ts';

/** Ways in which groups of layers may share: neighbours a basis, all layers atoms with private rests. */
const ways = [
  { method: 'basis', group: 2 },
  { method: 'basis', group: 'all' },
  { method: 'atoms', group: 'all' },
] as const;

export interface SharingRequest {
  readonly program: Program;
  /** Sites that may share. */
  readonly sites: readonly Site[];
  readonly options: Pick<AutoOptions, 'targets' | 'ignore'>;
  readonly metrics: SiteMetrics;
  readonly widths: Widths | undefined;
  readonly context: Pick<StageContext, 'signal' | 'emit'>;
}

/**
 * Bytes of a group in integers: every layer's weight by itself, or where the layers share a basis (rank, columns), that
 * and each layer's coefficients (rows, rank), with a product more for each layer.
 */
const bytesIn = ({ sites }: ShareGroup, { data, cost }: EditOption, format: ReportedOption): number => {
  const { rows, columns } = sites[0]!;
  const scheme = schemeOf(format);
  if (data.length === 0) return sites.length * packedBytes(scheme, rows, columns);
  const rank = Math.round(cost.parameters / (columns + sites.length * rows));
  const own = packedBytes(scheme, rows, rank) + bytesPerProduct;
  return packedBytes(scheme, rank, columns) + sites.length * own;
};

/** The options of a group that shares a basis in every width that all of its sites may have. */
const inWidths = (group: ShareGroup, options: readonly EditOption[], widths: Widths): EditOption[] => {
  const known = group.sites.map(({ name }) => widths.formatsOf(name));
  return known[0]!.flatMap((format) => {
    const own = known.flatMap((formats) => formats.find((one) => one.format === format.format) ?? []);
    if (own.length < group.sites.length) return [];
    const noise = own.reduce((sum, one) => sum + one.loss, 0);
    return options.map((option) => ({
      ...option,
      kind: option.data.length === 0 ? 'bits' : `${option.kind}+bits`,
      label: option.data.length === 0 ? format.format : `${option.label}, ${format.format}`,
      cost: { ...option.cost, bytes: bytesIn(group, option, format) },
      loss: option.loss + noise,
    }));
  });
};

/** Groups of layers that may share, each as a choice in place of those of its sites; groups overlap. */
export const sharingChoices = async (request: SharingRequest): Promise<EditChoice[]> => {
  const { program, sites, options, metrics, widths, context } = request;
  const byName = new Map(sites.map((site) => [site.name, site]));
  const moments = {
    of: (site: Site) => metrics.momentsOf(site),
    positionsPerItem: (site: Site) => metrics.positionsPerItem(site),
  };
  const found = new Map<string, EditChoice>();
  for (const way of ways) {
    const settings = shareStage.options.parse({ ...way, targets: options.targets, ignore: options.ignore });
    const { groups } = findShareGroups(program, settings);
    for (const group of groups) {
      if (!group.sites.every(({ name }) => byName.has(name))) continue;
      const choice = await choiceOfGroup(group, moments, settings, context.signal);
      const edits = choice.options.map(({ data, ...option }): EditOption => {
        const names = group.sites.map(({ name }) => name);
        return { ...option, data: data ? [{ kind: 'share', sites: names, option: data }] : [] };
      });
      const known = found.get(group.name);
      const own = known ? edits.slice(1) : edits;
      const packed = widths && way.method === 'basis' ? inWidths(group, edits, widths).slice(known ? 1 : 0) : [];
      found.set(group.name, { ...choice, options: [...(known?.options ?? []), ...own, ...packed] });
    }
    context.emit({ type: 'progress', task: 'sharing', done: found.size, total: found.size, unit: 'groups' });
  }
  return [...found.values()];
};
