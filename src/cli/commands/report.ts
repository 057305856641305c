import { resolve } from 'node:path';
import { CompressError } from '../../errors.ts';
import type { NamedReport } from '../../report/comparison/rows.ts';
import type { Style } from '../../reporters/style.ts';
import type { CommandModule } from '../command.ts';
import type { OptionValues } from '../option-values.ts';

const formats = ['text', 'html', 'md', 'json'] as const;
type Format = (typeof formats)[number];

const isFormat = (name: string): name is Format => formats.some((format) => format === name);

/** --format, or what the ending of --output asks for. */
const formatOf = (options: OptionValues): Format => {
  const output = options.text('output');
  const given = options.text('format') ?? (output === undefined ? 'text' : (output.split('.').at(-1) ?? ''));
  const name = given === 'markdown' ? 'md' : given === 'htm' ? 'html' : given === 'txt' ? 'text' : given;
  if (isFormat(name)) return name;
  throw new CompressError({
    code: 'usage',
    message: `there is no report format '${given}'`,
    where: { flag: options.text('format') === undefined ? '--output' : '--format' },
    hint: `Formats: ${formats.join(', ')}.`,
  });
};

const page = async (runs: readonly NamedReport[]): Promise<string> => {
  const [only] = runs;
  if (only && runs.length === 1) return (await import('../../report/html/page.ts')).reportPage(only.report);
  return (await import('../../report/comparison/page.ts')).comparisonPage(runs);
};

const markdown = async (runs: readonly NamedReport[]): Promise<string> => {
  const [only] = runs;
  if (only && runs.length === 1) return (await import('../../report/markdown/report.ts')).reportMarkdown(only.report);
  return (await import('../../report/comparison/markdown.ts')).comparisonMarkdown(runs);
};

const textOf = async (runs: readonly NamedReport[], style: Style): Promise<string> => {
  const { formatTable } = await import('../../reporters/table.ts');
  const { comparisonNotes, comparisonRows } = await import('../../report/comparison/rows.ts');
  const { comparisonTable } = await import('../../report/comparison/table.ts');
  const compared = comparisonRows(runs);
  const { columns, rows } = comparisonTable(compared);
  return [formatTable(columns, rows, style), ...comparisonNotes(compared).map((note) => style.warn(note))].join('\n\n');
};

const words: Readonly<Record<Format, (runs: readonly NamedReport[], style: Style) => Promise<string>>> = {
  text: textOf,
  html: page,
  md: markdown,
  json: async (runs) => JSON.stringify(runs.length === 1 ? runs[0]?.report : { runs }, null, 2),
};

/** Writes what one run, or several side by side, came to. */
export const reportCommand: CommandModule = {
  configure(command) {
    command
      .argument('<runs...>', 'output folders of runs that have ended')
      .option('--format <name>', `${formats.join(', ')} (default: by --output, else text)`)
      .option('-o, --output <file>', 'file to write to (default: standard output)')
      .addHelpText(
        'after',
        `
Of one run: all that was asked, measured and found. Of several: a table of every artifact, the front of size and
quality, and what the recipes ask for differently. HTML is one file that needs no network.

Examples:
  $ compress report out/w4 --format md
  $ compress report out/w2 out/w3 out/w4 --output comparison.html
  $ compress report out/w4 --json`,
      );
  },

  async run(args, options, { io }) {
    const format = formatOf(options);
    const { namedRuns } = await import('../comparison/runs-of.ts');
    const runs = namedRuns(args, io.directory);
    const output = options.text('output');
    const text = (await words[format](runs, io.out.style)).trimEnd();
    if (output !== undefined) {
      const { writeWhole } = await import('../../recipe/store.ts');
      writeWhole(resolve(io.directory, output), `${text}\n`);
    }
    return {
      data: runs.length === 1 ? runs[0]?.report : { runs },
      text: () => (output === undefined ? text : `written ${output}`),
    };
  },
};
