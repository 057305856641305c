import { beforeOf, mainMetric, measuredOf, metricWords, sizeBefore, sizeName } from '../facts.ts';
import { type Content, html, type Markup } from '../html/markup.ts';
import { formatChange, formatDuration, formatInUnit, formatResult } from '../numbers.ts';
import type { RunReport } from '../schema.ts';

const tile = (name: string, value: Content, note: Content): Markup =>
  html`<div class="tile"><dt>${name}</dt><dd><strong>${value}</strong> <span>${note}</span></dd></div>`;

const sizeTiles = (report: RunReport): Content =>
  report.artifacts.map(({ format, bytes }) => {
    const before = sizeBefore(report);
    const after = measuredOf(report, format, { metric: sizeName, dataset: '' });
    const change = before && after ? `${formatChange(before, after)} of ${formatInUnit(before.value, 'bytes')}` : '';
    return tile(report.artifacts.length > 1 ? `size, ${format}` : 'size', formatInUnit(bytes, 'bytes'), change);
  });

const qualityTiles = (report: RunReport): Content => {
  const main = mainMetric(report);
  if (!main) return '';
  const before = beforeOf(report, main);
  return tile(
    metricWords(main),
    formatResult(main),
    before ? `from ${formatResult(before)}, ${formatChange(before, main)}` : '',
  );
};

/** What came of the run, in a line of numbers. */
export const overview = (report: RunReport): Markup => {
  const { gates, course } = report;
  const passed = gates.filter((gate) => gate.passed).length;
  const good = report.outcome === 'done';
  return html`<p class="outcome ${good ? 'good' : 'bad'}">${good ? '✔ done' : '✖ a quality gate failed'}</p>
<dl class="tiles">${sizeTiles(report)}${qualityTiles(report)}${
    gates.length > 0 && tile('gates', `${passed} of ${gates.length}`, 'passed')
  }${course && tile('time', formatDuration(course.durationMs), course.pausedMs > 0 && `${formatDuration(course.pausedMs)} of it paused`)}${
    course && tile('memory', formatInUnit(course.peakMemoryBytes, 'bytes'), 'at most')
  }</dl>
`;
};
