import { appendFileSync } from 'node:fs';
import { isAbsolute, relative } from 'node:path';
import { CompressError, CompressErrors, formatError } from '../errors.ts';
import { orExplain } from '../recipe/store.ts';
import { codeBlock, gatesMarkdown, metricsMarkdown, paragraphs } from '../report/markdown/summary.ts';
import { formatInUnit } from '../report/numbers.ts';
import type { ReporterCard } from './reporter.ts';
import { plainStyle } from './style.ts';
import { formatOutcome } from './summary.ts';
import { RunView } from './view/run-view.ts';

/** Text of a workflow command: percent signs and line breaks would end it. */
const commandText = (text: string): string =>
  text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');

const commandProperty = (text: string): string => commandText(text).replaceAll(':', '%3A').replaceAll(',', '%2C');

interface Place {
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
}

/** A path as the checkout has it. */
const inCheckout = (file: string): string => {
  const root = process.env.GITHUB_WORKSPACE;
  return root && isAbsolute(file) ? relative(root, file) : file;
};

/** A line that the runner shows at a place of a file. */
const annotation = (level: 'error' | 'warning', title: string, text: string, { file, line, column }: Place): string => {
  const properties = {
    ...(file === undefined ? {} : { file: inCheckout(file) }),
    ...(line === undefined ? {} : { line: String(line) }),
    ...(column === undefined ? {} : { col: String(column) }),
    title,
  };
  const listed = Object.entries(properties).map(([name, value]) => `${name}=${commandProperty(value)}`);
  return `::${level} ${listed.join(',')}::${commandText(text)}\n`;
};

const errorsOf = (error: unknown): readonly unknown[] =>
  error instanceof CompressErrors && error.errors.length > 0 ? error.errors : [error];

const errorAnnotation = (error: unknown): string =>
  error instanceof CompressError
    ? annotation('error', 'compress', `${error.message}${error.hint ? `\n${error.hint}` : ''}`, error.where)
    : annotation('error', 'compress', formatError(error), {});

/** What came of a run, for the summary of a job and for a comment. */
const summaryOf = (view: RunView, trouble: string | undefined): string => {
  const { finished, facts, log } = view;
  const warnings = log.filter(({ kind }) => kind === 'warning').map(({ text }) => `- ${text}`);
  const good = trouble === undefined && finished?.outcome === 'done';
  return paragraphs([
    `### ${good ? '✅' : '❌'} compress: ${view.recipe || 'a run that did not begin'}`,
    facts.after.length > 0 && metricsMarkdown({ metrics: facts }),
    facts.gates.length > 0 && gatesMarkdown(facts.gates),
    trouble !== undefined && codeBlock(trouble),
    warnings.length > 0 &&
      `<details><summary>${warnings.length} warnings</summary>\n\n${warnings.join('\n')}\n\n</details>`,
    finished && `${formatOutcome(finished, plainStyle)}, modelpress ${view.version}`,
  ]);
};

/**
 * For GitHub workflows: annotations at the lines of the recipe, the summary of the job where the runner has a file for
 * it, and with a path (`github=comment.md`) the text of a comment on a pull request in a file.
 */
export const githubReporter: ReporterCard['open'] = (target, { path, annotate }) => {
  const view = new RunView();
  let trouble: string | undefined;
  return {
    listener: (event) => {
      view.apply(event);
      if (event.type === 'gate' && !event.passed) {
        const { gate, format, dataset, found, limit, unit, where } = event;
        const words = `${gate} failed for ${format}${dataset ? ` on ${dataset}` : ''}: found ${formatInUnit(found, unit)}, limit ${formatInUnit(limit, unit)}`;
        annotate(annotation('error', 'quality gate', words, where ?? {}));
      }
      if (event.type === 'stage-finished')
        for (const { kind, text, site } of event.findings)
          if (kind !== 'fact') annotate(annotation('warning', event.stage, `${site ? `${site}: ` : ''}${text}`, {}));
      if (event.type === 'message' && event.severity === 'warning')
        annotate(annotation('warning', 'compress', event.text, {}));
    },
    failed: (error) => {
      trouble = formatError(error);
      for (const one of errorsOf(error)) annotate(errorAnnotation(one));
    },
    close: () => {
      const summary = summaryOf(view, trouble);
      const file = process.env.GITHUB_STEP_SUMMARY;
      if (file) orExplain(file, () => appendFileSync(file, `${summary}\n`));
      if (path !== undefined) target.write(summary);
    },
  };
};
