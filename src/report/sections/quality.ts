import { beforeOf } from '../facts.ts';
import { html, type Markup } from '../html/markup.ts';
import { table } from '../html/table.ts';
import { formatChange, formatInUnit, formatResult } from '../numbers.ts';
import type { RunReport } from '../schema.ts';

const metricTable = (report: RunReport): Markup => {
  const rows = report.metrics.after.map(({ format, result }) => {
    const before = beforeOf(report, result);
    return [
      result.metric,
      result.dataset,
      format,
      before ? formatResult(before) : '',
      html`<strong>${formatResult(result)}</strong>`,
      before ? formatChange(before, result) : '',
      result.metric === 'size' ? '' : String(result.count),
    ];
  });
  return table(
    'Measured on the written files; ± is half of the 95 % confidence interval',
    [
      { title: 'metric' },
      { title: 'data' },
      { title: 'format' },
      { title: 'before', align: 'right' },
      { title: 'after', align: 'right' },
      { title: 'change', align: 'right' },
      { title: 'items', align: 'right' },
    ],
    rows,
  );
};

const gateTable = ({ gates }: RunReport): Markup =>
  table(
    'Quality gates',
    [
      { title: 'gate' },
      { title: 'verdict' },
      { title: 'format' },
      { title: 'data' },
      { title: 'found', align: 'right' },
      { title: 'limit', align: 'right' },
      { title: 'stated at' },
    ],
    gates.map(({ gate, passed, format, dataset, found, limit, unit, where }) => [
      gate,
      passed ? html`<span class="good">✔ passed</span>` : html`<span class="bad">✖ failed</span>`,
      format,
      dataset,
      formatInUnit(found, unit),
      formatInUnit(limit, unit),
      where.file === undefined ? (where.flag ?? where.key ?? '') : [where.file, where.line, where.column].join(':'),
    ]),
  );

/** What was measured before and after, and the gates. */
export const quality = (report: RunReport): Markup =>
  html`${metricTable(report)}${report.gates.length > 0 && gateTable(report)}`;
