import type { MetricResult } from '../../recipe/events.ts';
import { beforeOf } from '../facts.ts';
import { formatChange, formatInUnit, formatResult } from '../numbers.ts';
import { markdownTable } from './table.ts';

/** A verdict on a quality gate. */
export interface GateFacts {
  readonly gate: string;
  readonly dataset: string;
  readonly format: string;
  readonly passed: boolean;
  readonly found: number;
  readonly limit: number;
  readonly unit?: string;
}

/** What is known of a run's result, from its report or from its events. */
export interface ResultFacts {
  readonly metrics: {
    readonly before: readonly MetricResult[];
    readonly after: readonly { readonly format: string; readonly result: MetricResult }[];
  };
  readonly gates: readonly GateFacts[];
}

/** Values before and after as a Markdown table. */
export const metricsMarkdown = (facts: Pick<ResultFacts, 'metrics'>): string =>
  markdownTable(
    [
      { title: 'metric' },
      { title: 'data' },
      { title: 'format' },
      { title: 'before', align: 'right' },
      { title: 'after', align: 'right' },
      { title: 'change', align: 'right' },
    ],
    facts.metrics.after.map(({ format, result }) => {
      const before = beforeOf(facts, result);
      return [
        result.metric,
        result.dataset,
        format,
        before ? formatResult(before) : '',
        `**${formatResult(result)}**`,
        before ? formatChange(before, result) : '',
      ];
    }),
  );

/** Verdicts of gates as a Markdown table. */
export const gatesMarkdown = (gates: readonly GateFacts[]): string =>
  markdownTable(
    [
      { title: 'gate' },
      { title: 'verdict' },
      { title: 'format' },
      { title: 'data' },
      { title: 'found', align: 'right' },
      { title: 'limit', align: 'right' },
    ],
    gates.map(({ gate, passed, format, dataset, found, limit, unit }) => [
      gate,
      passed ? '✅ passed' : '❌ **failed**',
      format,
      dataset,
      formatInUnit(found, unit),
      formatInUnit(limit, unit),
    ]),
  );

/** Paragraphs with an empty line between them. */
export const paragraphs = (parts: readonly (string | false | undefined)[]): string =>
  `${parts.filter((part) => part !== false && part !== undefined && part !== '').join('\n\n')}\n`;

/** A text as a Markdown code block, whatever backticks it holds. */
export const codeBlock = (text: string, language = ''): string => {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${text.trimEnd()}\n${fence}`;
};
