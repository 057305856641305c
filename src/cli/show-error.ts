import { readFileSync, statSync } from 'node:fs';
import { CompressError, CompressErrors, exitCodeOf, formatWhere } from '../errors.ts';
import { printable, type Style } from '../reporters/style.ts';

/** Problems shown before the rest is only counted. */
const mostShown = 20;

/** Files larger than this are models, whose lines say nothing. */
const largestShownFile = 1 << 20;

/** The line that a problem stands on, with a caret below its column. */
const excerpt = (error: CompressError, style: Style): string => {
  const { file, line, column } = error.where;
  if (file === undefined || line === undefined || column === undefined) return '';
  const facts = statSync(file, { throwIfNoEntry: false });
  if (!facts?.isFile() || facts.size > largestShownFile) return '';
  const text = readFileSync(file, 'utf8').split(/\r?\n/)[line - 1];
  if (text === undefined) return '';
  const number = String(line);
  const shown = printable(text.replaceAll('\t', ' '));
  return `\n${style.dim(`  ${number} │`)} ${shown}\n${style.dim(`  ${' '.repeat(number.length)} │`)} ${' '.repeat(column - 1)}${style.bad('^')}`;
};

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
    return [...shown, ...(rest > 0 ? [`and ${rest} more problems`] : [])].join('\n') + trace;
  }
  if (error instanceof CompressError) return showOne(error, style) + trace;
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
