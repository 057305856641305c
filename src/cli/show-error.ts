import { readFileSync, statSync } from 'node:fs';
import { CompressError, CompressErrors, type ErrorCode, exitCodeOf, formatWhere } from '../errors.ts';
import { printable, type Style } from '../reporters/style.ts';

/** Problems shown before the rest is only counted. */
const mostShown = 20;

/** Files larger than this are models, whose lines say nothing. */
const largestShownFile = 1 << 20;

/** Longer lines are cut around the place. */
const longestLine = 160;

/** Lines shown before and after the one that a problem stands on. */
const context = 1;

/** A line as it is shown, and how far its cut-off beginning moves the caret. */
const cutLine = (line: string, column: number): { readonly text: string; readonly moved: number } => {
  const whole = printable(line.replaceAll('\t', ' '));
  if (whole.length <= longestLine) return { text: whole, moved: 0 };
  const start = Math.max(0, column - 1 - longestLine / 2);
  const head = start > 0 ? '…' : '';
  const tail = start + longestLine < whole.length ? '…' : '';
  return { text: `${head}${whole.slice(start, start + longestLine)}${tail}`, moved: start - head.length };
};

/** The lines around a problem, with a caret below its column. */
const excerpt = (error: CompressError, style: Style): string => {
  const { file, line, column } = error.where;
  if (file === undefined || line === undefined || column === undefined) return '';
  const facts = statSync(file, { throwIfNoEntry: false });
  if (!facts?.isFile() || facts.size > largestShownFile) return '';
  const lines = readFileSync(file, 'utf8').split(/\r?\n/);
  if (lines[line - 1] === undefined) return '';
  const first = Math.max(1, line - context);
  const last = Math.min(lines.length, line + context);
  const width = String(last).length;
  const { moved } = cutLine(lines[line - 1] ?? '', column);
  const shown: string[] = [];
  for (let number = first; number <= last; number++) {
    const { text } = cutLine(lines[number - 1] ?? '', number === line ? column : 1);
    if (number === last && number > line && text.trim() === '') break;
    const gutter = style.dim(`${number === line ? '>' : ' '} ${String(number).padStart(width)} │`);
    shown.push(`${gutter} ${number === line ? text : style.dim(text)}`.trimEnd());
    if (number === line)
      shown.push(`${style.dim(`  ${' '.repeat(width)} │`)} ${' '.repeat(column - 1 - moved)}${style.bad('^')}`);
  }
  return `\n${shown.join('\n')}`;
};

/** Codes that ask nothing of the reader that a page could explain. */
const plainCodes: readonly ErrorCode[] = ['interrupted', 'internal'];

/** Where the documentation explains what is wrong, once for each kind of trouble. */
const links = (errors: readonly CompressError[], style: Style): string =>
  [...new Set(errors.map(({ code }) => code))]
    .filter((code) => !plainCodes.includes(code))
    .map((code) => `\n  ${style.dim(`more:  docs/troubleshooting.md#${code}`)}`)
    .join('');

const showOne = (error: CompressError, style: Style): string => {
  const where = formatWhere(error.where);
  const place = where ? `${style.bold(printable(where))}: ` : '';
  const hint = error.hint ? `\n  ${style.dim('hint:')} ${printable(error.hint)}` : '';
  return `${style.bad('error:')} ${place}${printable(error.message)}${excerpt(error, style)}${hint}`;
};

const stackOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by: ${stackOf(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
};

/** Words for anything thrown: every problem with its place and what to do; a stack only when `stack` is asked for. */
export const showError = (error: unknown, style: Style, { stack }: { readonly stack: boolean }): string => {
  const trace = stack ? `\n${style.dim(stackOf(error))}` : '';
  if (error instanceof CompressErrors && error.errors.length > 0) {
    const shown = error.errors.slice(0, mostShown).map((inner) => showOne(inner, style));
    const rest = error.errors.length - shown.length;
    const count = rest > 0 ? [`and ${rest} more problems`] : [];
    return [...shown, ...count].join('\n') + links(error.errors, style) + trace;
  }
  if (error instanceof CompressError) return showOne(error, style) + links([error], style) + trace;
  const message = error instanceof Error ? error.message : String(error);
  const advice = stack ? '' : '\n  hint: This is a bug in modelpress: please report it with the output of --debug.';
  return `${style.bad('internal error:')} ${printable(message)}${advice}${trace}`;
};

interface ErrorData {
  readonly code: string;
  readonly message: string;
  readonly where?: CompressError['where'];
  readonly hint?: string;
}

const factsOf = (error: unknown): readonly ErrorData[] => {
  if (error instanceof CompressErrors && error.errors.length > 0) return error.errors.flatMap(factsOf);
  if (error instanceof CompressError)
    return [
      { code: error.code, message: error.message, where: error.where, ...(error.hint ? { hint: error.hint } : {}) },
    ];
  return [{ code: 'internal', message: error instanceof Error ? error.message : String(error) }];
};

/** The same for machines. */
export const errorData = (
  error: unknown,
): { readonly ok: false; readonly exitCode: number; readonly errors: readonly ErrorData[] } => ({
  ok: false,
  exitCode: exitCodeOf(error),
  errors: factsOf(error),
});
