import { formatBytes } from '../../recipe/quantity.ts';
import { formatDuration, formatNumber, formatResult } from '../numbers.ts';
import { type ComparisonRow, metricColumns } from './rows.ts';

/** A table in words: titles, and one list of cells for each row. */
export interface WordTable {
  readonly columns: readonly { readonly title: string; readonly align: 'left' | 'right' }[];
  readonly rows: readonly (readonly string[])[];
}

/** Runs side by side, in words. */
export const comparisonTable = (rows: readonly ComparisonRow[]): WordTable => {
  const metrics = metricColumns(rows);
  const datasets = new Set(rows.flatMap((row) => [...row.metrics.values()].map(({ dataset }) => dataset)));
  const titleOf = (name: string): string =>
    datasets.size > 1 ? name : (rows.find((row) => row.metrics.has(name))?.metrics.get(name)?.metric ?? name);
  const withGates = rows.some(({ gates }) => gates.all > 0);
  const withTimes = rows.some(({ durationMs }) => durationMs !== undefined);
  const right = (title: string) => ({ title, align: 'right' as const });
  const left = (title: string) => ({ title, align: 'left' as const });
  return {
    columns: [
      left('run'),
      left('format'),
      right('size'),
      right('of before'),
      right('bits'),
      ...metrics.map((name) => right(titleOf(name))),
      ...(withGates ? [right('gates')] : []),
      ...(withTimes ? [right('time')] : []),
    ],
    rows: rows.map((row) => [
      row.run,
      row.format,
      formatBytes(row.bytes),
      row.ratio === undefined ? '' : `${formatNumber(row.ratio, 3)}×`,
      row.meanBits === undefined ? '' : formatNumber(row.meanBits, 3),
      ...metrics.map((name) => {
        const result = row.metrics.get(name);
        return result ? formatResult(result) : '';
      }),
      ...(withGates ? [row.gates.all > 0 ? `${row.gates.passed} of ${row.gates.all}` : ''] : []),
      ...(withTimes ? [row.durationMs === undefined ? '' : formatDuration(row.durationMs)] : []),
    ]),
  };
};
