import { type BarRow, barChart } from '../charts/bars.ts';
import { type Content, html, type Markup } from '../html/markup.ts';
import { table } from '../html/table.ts';
import { layerGrid } from '../layers.ts';
import { formatNumber } from '../numbers.ts';
import type { ReportStage } from '../schema.ts';
import { siteError } from '../site-error.ts';
import { heatTable } from './heat-table.ts';

interface Loss {
  readonly name: string;
  readonly value: number;
  readonly facts: ReportStage['sites'][number]['facts'];
}

/** Bars of a picture that people still read; the smallest ones are put together. */
const mostBars = 30;

const largestFirst = (losses: readonly Loss[]): Loss[] => [...losses].sort((a, b) => b.value - a.value);

const sum = (losses: readonly Loss[]): number => losses.reduce((total, { value }) => total + value, 0);

/** Where losses begin that are added up, from the greatest to the smallest. */
const waterfall = (losses: readonly Loss[]): BarRow[] => {
  const sorted = largestFirst(losses);
  const shown = sorted.slice(0, mostBars);
  const others = sorted.slice(mostBars);
  const steps = [
    ...shown.map(({ name, value }) => ({ name, value })),
    ...(others.length > 0 ? [{ name: `${others.length} others`, value: sum(others) }] : []),
  ];
  let from = 0;
  return steps.map(({ name, value }) => {
    const segment = { name, from, to: from + value, colour: 0, words: `${formatNumber(value, 3)} nats` };
    from += value;
    return { label: name, segments: [segment], end: formatNumber(value, 2) };
  });
};

const plainBars = (losses: readonly Loss[], error: string): BarRow[] =>
  largestFirst(losses)
    .slice(0, mostBars)
    .map(({ name, value }) => ({
      label: name,
      segments: [{ name, from: 0, to: value, colour: 0, words: `${error} ${formatNumber(value, 3)}` }],
      end: formatNumber(value, 2),
    }));

const heatOf = (losses: readonly Loss[]) => {
  const positive = losses.map(({ value }) => value).filter((value) => value > 0);
  const [low, high] = [Math.log(Math.min(...positive)), Math.log(Math.max(...positive))];
  return ({ name, value }: Loss) => ({
    text: formatNumber(value, 2),
    share: value > 0 && high > low ? (Math.log(value) - low) / (high - low) : 0,
    words: `${name}: ${formatNumber(value, 4)}`,
  });
};

const factTable = (caption: string, { sites }: ReportStage): Markup => {
  const names = [...new Set(sites.flatMap(({ facts }) => Object.keys(facts)))];
  const word = (value: unknown): string =>
    typeof value === 'number' ? formatNumber(value, 4) : value === undefined || value === null ? '' : String(value);
  return table(
    caption,
    [
      { title: 'site' },
      ...names.map((name) => ({
        title: name.replaceAll('_', ' '),
        align: sites.some(({ facts }) => typeof facts[name] === 'number') ? ('right' as const) : ('left' as const),
      })),
    ],
    sites.map(({ site, facts }) => [site, ...names.map((name) => word(facts[name]))]),
  );
};

/** How much each site of a stage lost: as steps that add up where they do, by layer, and in full. */
export const errors = (stage: ReportStage, title: string): Content => {
  if (stage.sites.length === 0) return '';
  const found = stage.sites.flatMap(({ site, facts }) => {
    const error = siteError(facts);
    return error ? [{ name: site, facts, error }] : [];
  });
  const kind = found[0]?.error;
  const losses = found
    .filter(({ error }) => error.name === kind?.name)
    .map(({ name, facts, error }): Loss => ({ name, facts, value: error.value }));
  const grid = layerGrid(losses);
  const total = kind?.adds ? `; together ${formatNumber(sum(losses), 3)} nats` : '';
  const bars =
    kind &&
    losses.length > 1 &&
    barChart({
      title: kind.adds ? `${title}: where the loss comes from` : `${title}: sites that lose most`,
      description: `${kind.name} of ${losses.length} sites, the greatest first${total}`,
      x: {
        title: kind.adds ? `${kind.name}, nats${total}` : `${kind.name} (share of the output’s energy)`,
        word: (value) => formatNumber(value, 3),
      },
      rows: kind.adds ? waterfall(losses) : plainBars(losses, kind.name),
    });
  return html`${grid && kind && heatTable(`${title}: ${kind.name} by layer`, grid, heatOf(losses))}${bars}<details><summary>Everything told of ${stage.sites.length} sites</summary>${factTable(`${title}: sites`, stage)}</details>`;
};
