import { formatBytes } from '../recipe/quantity.ts';
import type { Style } from '../reporters/style.ts';
import { formatTable } from '../reporters/table.ts';
import type { CheckRow } from './check.ts';

const milliseconds = (value: number | undefined): string => (value === undefined ? '' : `${Math.round(value)} ms`);

/** A line for every variant and version, and below what was wrong. */
export const showRows = (rows: readonly CheckRow[], style: Style): string => {
  const marks = { ok: style.good('ok'), differs: style.warn('differs'), fails: style.bad('fails') };
  const table = formatTable(
    [
      { title: 'onnxruntime-web' },
      { title: 'variant' },
      { title: 'status' },
      { title: 'size', align: 'right' },
      { title: 'load', align: 'right' },
      { title: 'run', align: 'right' },
      { title: 'memory', align: 'right' },
      { title: 'difference', align: 'right' },
    ],
    rows.map((row) => [
      row.runtime,
      row.variant,
      marks[row.status],
      formatBytes(row.bytes),
      milliseconds(row.loadMs),
      milliseconds(row.runMs),
      row.memoryBytes === undefined ? '' : formatBytes(row.memoryBytes),
      row.difference === undefined ? '' : row.difference.toExponential(1),
    ]),
    style,
  );
  const errors = rows.flatMap(({ variant, runtime, error }) =>
    error === undefined ? [] : [`${style.bad('fails')}  ${variant} in ${runtime}: ${error}`],
  );
  const [first] = rows;
  return [...(first ? [style.dim(`in ${first.environment}`)] : []), table, ...errors].join('\n');
};
