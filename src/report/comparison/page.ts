import { formatBytes } from '../../recipe/quantity.ts';
import { scatterChart } from '../charts/scatter.ts';
import { metricWords, sizeBefore } from '../facts.ts';
import { htmlDocument, type Section } from '../html/document.ts';
import { type Content, html } from '../html/markup.ts';
import { table } from '../html/table.ts';
import { formatMark, formatNumber } from '../numbers.ts';
import { overview } from '../sections/overview.ts';
import { quality } from '../sections/quality.ts';
import { request } from '../sections/request.ts';
import { recipeDifferences, siteDifferences } from './differences.ts';
import { type ComparisonRow, commonMetric, comparisonNotes, comparisonRows, type NamedReport } from './rows.ts';
import { comparisonTable } from './table.ts';

/** Sites of two runs that are shown. */
const mostSites = 40;

const labelOf = (row: ComparisonRow, rows: readonly ComparisonRow[]): string =>
  rows.filter(({ run }) => run === row.run).length > 1 ? `${row.run}, ${row.format}` : row.run;

/** Every artifact of every run by size and quality, the models before among them. */
const frontOf = (runs: readonly NamedReport[], rows: readonly ComparisonRow[]): Content => {
  const name = commonMetric(rows);
  const first = name === undefined ? undefined : rows[0]?.metrics.get(name);
  if (name === undefined || !first?.better) return '';
  const before = new Map(
    runs.flatMap(({ report }) => {
      const size = sizeBefore(report);
      const value = report.metrics.before.find((result) => metricWords(result) === name);
      const label =
        runs.length > 1 && new Set(runs.map((run) => run.report.model.name)).size > 1
          ? `before, ${report.model.name}`
          : 'before';
      return size && value
        ? [
            [
              `${size.value} ${value.value}`,
              { label, x: size.value, y: value.value, half: value.interval ?? 0, reference: true },
            ] as const,
          ]
        : [];
    }),
  );
  const points = rows.map((row) => {
    const found = row.metrics.get(name) ?? first;
    return { label: labelOf(row, rows), x: row.bytes, y: found.value, half: found.interval ?? 0 };
  });
  return scatterChart({
    title: 'Size against quality',
    description: `${name} of every artifact over its bytes; the dashed line joins those that no other one beats in both`,
    x: { title: 'size', word: formatBytes },
    y: { title: name, word: (value) => formatMark(value, first.unit) },
    better: first.better,
    points: [...before.values(), ...points],
  });
};

const differences = (runs: readonly NamedReport[]): Content => {
  const found = recipeDifferences(runs);
  if (found.length === 0) return html`<p>The recipes ask for the same.</p>`;
  return table(
    'Keys whose values differ',
    [{ title: 'key' }, ...runs.map(({ name }) => ({ title: name }))],
    found.map(({ key, values }) => [html`<code>${key}</code>`, ...values.map((value) => value ?? '–')]),
  );
};

const sites = (runs: readonly NamedReport[]): Content => {
  const [first, second] = runs;
  if (!first || !second || runs.length !== 2) return '';
  const found = siteDifferences(first, second);
  if (found.length === 0) return '';
  return table(
    `Sites whose error differs most (${Math.min(mostSites, found.length)} of ${found.length})`,
    [
      { title: 'site' },
      { title: 'error' },
      { title: first.name, align: 'right' },
      { title: second.name, align: 'right' },
      { title: 'change', align: 'right' },
    ],
    found
      .slice(0, mostSites)
      .map(({ site, error, first: a, second: b }) => [
        site,
        error,
        formatNumber(a, 3),
        formatNumber(b, 3),
        a > 0 ? `${formatNumber(b / a, 3)}×` : '',
      ]),
  );
};

/** Several runs as one page. */
export const comparisonPage = (runs: readonly NamedReport[]): string => {
  const rows = comparisonRows(runs);
  const { columns, rows: cells } = comparisonTable(rows);
  const own = runs.map(
    ({ name, report }, index): Section => ({
      id: `run-${index + 1}`,
      title: name,
      content: html`${overview(report)}${quality(report)}<details><summary>Recipe</summary>${request(report)}</details>`,
    }),
  );
  return htmlDocument({
    title: `${runs.length} runs`,
    lead: runs.map(({ name }) => name).join(', '),
    overview: '',
    sections: [
      {
        id: 'comparison',
        title: 'Side by side',
        content: html`${table('Every artifact of every run', columns, cells)}${comparisonNotes(rows).map((note) => html`<p class="warn">${note}</p>`)}${frontOf(runs, rows)}`,
      },
      { id: 'recipes', title: 'What was asked differently', content: html`${differences(runs)}` },
      { id: 'sites', title: 'Sites', content: html`${sites(runs)}` },
      ...own,
    ],
    data: { runs },
    version: runs[0]?.report.version ?? '',
  });
};
