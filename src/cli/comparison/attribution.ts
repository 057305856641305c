import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { AttributedUnit, Attribution } from '../../curvature/attribution/attribute.ts';
import { CompressError, formatError } from '../../errors.ts';
import { attributeModels } from '../../recipe/attribution.ts';
import { keptRecipe } from '../../recipe/kept-recipe.ts';
import { formatBytes } from '../../recipe/quantity.ts';
import { formatNumber } from '../../report/numbers.ts';
import { readReport } from '../../report/read-report.ts';
import { printable, type Style } from '../../reporters/style.ts';
import { formatTable } from '../../reporters/table.ts';
import { withProgress } from '../live-progress.ts';
import type { ComparisonSection } from './section.ts';

/** Weights that people are shown; the document for machines has all. */
const mostShown = 30;

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

interface ReportedSite {
  readonly site: string;
  readonly role?: string;
  readonly block?: number;
  /** Error of its output along the graph: null where both are equal. */
  readonly snr_db?: number | null;
  readonly cosine?: number;
  readonly alone?: number;
  readonly restored?: number;
  readonly caused?: number;
  readonly share?: number;
  /** Standard error of the share over the samples. */
  readonly share_error?: number;
}

const reported = ({ along, units, divergence }: Attribution): ReportedSite[] => {
  const firsts = new Map<string, AttributedUnit>(units.map((one) => [one.unit.name, one]));
  return along.map(({ pair: { site }, error }) => {
    const { alone, restored, caused, error: spread } = firsts.get(site.name) ?? {};
    return {
      site: site.name,
      ...(site.role === undefined ? {} : { role: site.role }),
      ...(site.block === undefined ? {} : { block: site.block }),
      ...(error ? { snr_db: Number.isFinite(error.snrDb) ? error.snrDb : null, cosine: error.cosine } : {}),
      ...(alone === undefined ? {} : { alone }),
      ...(restored === undefined ? {} : { restored }),
      ...(caused === undefined ? {} : { caused, share: divergence > 0 ? caused / divergence : 0 }),
      ...(spread === undefined || divergence <= 0 ? {} : { share_error: spread / divergence }),
    };
  });
};

const row = ({ site, snr_db, cosine, alone, restored, share, share_error }: ReportedSite): string[] => [
  printable(site),
  snr_db === null ? 'equal' : snr_db === undefined ? '' : `${snr_db.toFixed(1)} dB`,
  cosine === undefined ? '' : cosine.toFixed(4),
  alone === undefined ? '' : formatNumber(alone, 3),
  restored === undefined ? '' : formatNumber(restored, 3),
  share === undefined
    ? ''
    : share_error === undefined
      ? percent(share)
      : `${(share * 100).toFixed(1)} ±${(share_error * 100).toFixed(1)} %`,
];

const headOf = ({ by, divergence, remaining, samples, units }: Attribution): string[] => {
  const sum = units.reduce((total, { caused }) => total + (caused ?? 0), 0);
  const how =
    by === 'measured'
      ? 'measured: each weight alone in a (alone), and put back alone into b (restored); the share is the mean of both'
      : 'predicted by the curvature of a, each weight as if it were the only change: too many weights to measure each';
  return [
    `Divergence of b from a: ${formatNumber(divergence, 4)} nats an item over ${samples} samples; shares ${how}.`,
    `The shares add up to ${percent(sum / Math.max(divergence, Number.MIN_VALUE))}; with all ${units.length} weights put back ${formatNumber(remaining, 3)} nats remain.`,
  ];
};

/** What is to be kept in higher precision, in words. */
const keptOf = ({ kept }: Attribution, wanted: number): string[] => {
  if (!kept) return [];
  const { units, addedBytes, gain, reached } = kept;
  const names = units.map(({ unit, as }) => `${printable(unit.name)} (${as === 8 ? '8 bits' : 'as it was'})`);
  return [
    reached
      ? `${percent(gain)} of it goes when ${units.length} of the weights are kept in higher precision, ${formatBytes(addedBytes)} more: ${names.join(', ')}`
      : `${percent(wanted)} is not to be had by weights in higher precision: all that help together take ${percent(gain)} away`,
  ];
};

/** Why errors cannot be followed between these two, where that is no reason to stop: nobody asked for it by name. */
const obstacleIn = (error: unknown, by: string): string => {
  const expected = error instanceof CompressError && ['mismatch', 'unsupported'].includes(error.code);
  if (by !== 'auto' || !expected) throw error;
  return formatError(error);
};

/** Where the divergence of the second model comes from, site by site, and what to keep in higher precision. */
export const attribution: ComparisonSection = {
  name: 'attribution',
  async compare({ a, b, data, seed, attribution: wanted }, context) {
    if (data.length === 0 || wanted === undefined) return undefined;
    const { directory } = context.io;
    const found = await withProgress(context, (emit) =>
      attributeModels({ first: a, second: b, data, seed, directory, emit, signal: context.signal, ...wanted }),
    ).catch((error: unknown) => obstacleIn(error, wanted.by));
    if (typeof found === 'string')
      return { data: { obstacle: found }, text: () => `The divergence is not followed back to weights: ${found}` };
    const { kept, by, samples, divergence, remaining, correspondence } = found;
    const sites = reported(found);
    const folder = resolve(directory, b);
    const run = existsSync(join(folder, 'report.json')) ? readReport(folder) : undefined;
    const recipe = kept && kept.units.length > 0 ? keptRecipe(kept, run) : undefined;
    const unmatched = correspondence.unmatched.map(({ site, reason }) => ({ site: site.name, reason }));
    return {
      data: {
        ...{ by, samples, divergence, remaining, sites, unmatched },
        ...(kept
          ? {
              keep: {
                sites: kept.units.map(({ unit, as, addedBytes }) => ({ site: unit.name, as, added_bytes: addedBytes })),
                added_bytes: kept.addedBytes,
                gain: kept.gain,
                reached: kept.reached,
              },
            }
          : {}),
        ...(recipe === undefined ? {} : { recipe }),
      },
      text: (style: Style) => {
        const changed = sites.filter(({ caused }) => caused !== undefined);
        const shown = [...changed].sort((x, y) => y.caused! - x.caused!).slice(0, mostShown);
        const table = formatTable(
          [
            { title: 'site' },
            ...['output', 'cosine', 'alone', 'restored', 'share'].map((title) => ({ title, align: 'right' as const })),
          ],
          sites.filter((site) => shown.includes(site)).map(row),
          style,
        );
        return [
          headOf(found).join('\n'),
          ...(shown.length > 0 ? [table] : []),
          ...(shown.length < changed.length ? [`and ${changed.length - shown.length} weights that cause less`] : []),
          ...unmatched.slice(0, 5).map(({ site, reason }) => `not compared: ${printable(site)}: ${reason}`),
          ...(unmatched.length > 5 ? [`and ${unmatched.length - 5} more are not compared`] : []),
          ...keptOf(found, wanted.gain),
          ...(recipe === undefined ? [] : [recipe.trimEnd()]),
        ].join('\n\n');
      },
    };
  },
};
