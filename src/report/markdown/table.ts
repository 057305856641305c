/** Text as a cell of a Markdown table shows it. */
export const cellText = (text: string): string => text.replaceAll('|', '\\|').replaceAll(/\s*\n\s*/g, ' ');

export interface MarkdownColumn {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** A Markdown table. */
export const markdownTable = (columns: readonly MarkdownColumn[], rows: readonly (readonly string[])[]): string => {
  const line = (cells: readonly string[]): string => `| ${cells.map(cellText).join(' | ')} |`;
  return [
    line(columns.map(({ title }) => title)),
    `|${columns.map(({ align }) => (align === 'right' ? '---:' : '---')).join('|')}|`,
    ...rows.map(line),
  ].join('\n');
};
