import { formatBytes } from '../../recipe/quantity.ts';
import { type BarRow, barChart } from '../charts/bars.ts';
import { scatterChart } from '../charts/scatter.ts';
import { beforeOf, mainMetric, measuredOf, metricWords, sizeBefore } from '../facts.ts';
import { type Content, html, type Markup } from '../html/markup.ts';
import { table } from '../html/table.ts';
import { formatMark } from '../numbers.ts';
import type { ReportContent, RunReport } from '../schema.ts';

interface Version {
  readonly name: string;
  readonly content: ReportContent;
}

const versionsOf = (report: RunReport): Version[] => [
  { name: 'before', content: report.model.content },
  ...report.artifacts.flatMap(({ format, content }) => (content ? [{ name: format, content }] : [])),
];

const bytesOf = (content: ReportContent, part: string): number =>
  content.parts.find((candidate) => candidate.part === part)?.bytes ?? 0;

/** The parts of all versions, the largest first, what is left over last. */
const partsOf = (versions: readonly Version[]): string[] => {
  const parts = [...new Set(versions.flatMap(({ content }) => content.parts.map(({ part }) => part)))];
  const weight = (part: string): number =>
    part === 'other' ? -1 : Math.max(...versions.map(({ content }) => bytesOf(content, part)));
  return parts.sort((a, b) => weight(b) - weight(a));
};

const partBars = (versions: readonly Version[], parts: readonly string[]): Markup => {
  const rows = versions.map(({ name, content }): BarRow => {
    let from = 0;
    const segments = parts.map((part, colour) => {
      const bytes = bytesOf(content, part);
      const segment = { name: part, from, to: from + bytes, colour, words: formatBytes(bytes) };
      from += bytes;
      return segment;
    });
    return { label: name, segments: segments.filter(({ from: a, to }) => to > a), end: formatBytes(from) };
  });
  return barChart({
    title: 'Constants by part of the network',
    description: rows.map((row) => `${row.label}: ${row.end}`).join(', '),
    x: { title: 'bytes', word: formatBytes },
    rows,
    legend: parts.map((name, colour) => ({ name, colour })),
  });
};

const partTable = (versions: readonly Version[], parts: readonly string[]): Markup =>
  table(
    'Bytes of constants by part',
    [{ title: 'part' }, ...versions.map(({ name }) => ({ title: name, align: 'right' as const }))],
    [
      ...parts.map((part) => [part, ...versions.map(({ content }) => formatBytes(bytesOf(content, part)))]),
      ['parameters', ...versions.map(({ content }) => content.parameters.toLocaleString('en'))],
    ],
  );

/** The model before and every artifact by size and main metric. */
const sizeAgainstQuality = (report: RunReport): Content => {
  const main = mainMetric(report);
  const [before, size] = [main && beforeOf(report, main), sizeBefore(report)];
  if (!main?.better || !before || !size) return '';
  const points = report.artifacts.flatMap(({ format, bytes }) => {
    const found = measuredOf(report, format, main);
    return found && Number.isFinite(found.value)
      ? [{ label: format, x: bytes, y: found.value, half: found.interval ?? 0 }]
      : [];
  });
  return scatterChart({
    title: 'Size against quality',
    description: `${metricWords(main)} of the model before and of every written format, over their bytes; bars are 95 % confidence intervals`,
    x: { title: 'size', word: formatBytes },
    y: { title: metricWords(main), word: (value) => formatMark(value, main.unit) },
    better: main.better,
    points: [
      { label: 'before', x: size.value, y: before.value, half: before.interval ?? 0, reference: true },
      ...points,
    ],
  });
};

/** Sizes before and after, by part, and what they cost. */
export const sizes = (report: RunReport): Markup => {
  const versions = versionsOf(report);
  const parts = partsOf(versions);
  return html`${partBars(versions, parts)}${partTable(versions, parts)}${sizeAgainstQuality(report)}`;
};
