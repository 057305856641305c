import { plainStyle, type Style } from './style.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes take no room on a line
const colourCode = /\u001b\[\d+m/g;

const width = (text: string): number => [...text.replaceAll(colourCode, '')].length;

/** Lines of a table with aligned columns: a head, a rule, one line a row. Cells may hold colour codes. */
export const formatTable = (
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  style: Style = plainStyle,
): string => {
  const widths = columns.map((column, index) =>
    Math.max(width(column.title), ...rows.map((row) => width(row[index] ?? ''))),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map((column, index) => {
        const cell = cells[index] ?? '';
        const room = ' '.repeat((widths[index] ?? 0) - width(cell));
        return column.align === 'right' ? room + cell : cell + room;
      })
      .join('  ')
      .trimEnd();
  const head = line(columns.map((column) => style.bold(column.title)));
  const rule = style.dim(widths.map((count) => '─'.repeat(count)).join('  '));
  return [head, rule, ...rows.map(line)].join('\n');
};
