import { paragraphs } from '../markdown/summary.ts';
import { markdownTable } from '../markdown/table.ts';
import { recipeDifferences } from './differences.ts';
import { comparisonNotes, comparisonRows, type NamedReport } from './rows.ts';
import { comparisonTable } from './table.ts';

/** Several runs as Markdown. */
export const comparisonMarkdown = (runs: readonly NamedReport[]): string => {
  const compared = comparisonRows(runs);
  const { columns, rows } = comparisonTable(compared);
  const found = recipeDifferences(runs);
  return paragraphs([
    `# ${runs.length} runs`,
    markdownTable(columns, rows),
    comparisonNotes(compared).join('\n\n'),
    found.length > 0 && '## What was asked differently',
    found.length > 0 &&
      markdownTable(
        [{ title: 'key' }, ...runs.map(({ name }) => ({ title: name }))],
        found.map(({ key, values }) => [`\`${key}\``, ...values.map((value) => value ?? '–')]),
      ),
  ]);
};
