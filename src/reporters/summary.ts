import { relative } from 'node:path';
import type { MetricResult, RunEvent, TimedEvent } from '../recipe/events.ts';
import { formatBytes } from '../recipe/quantity.ts';
import { formatChange, formatDuration, formatInUnit, formatResult } from '../report/numbers.ts';
import { printable, type Style } from './style.ts';
import { formatTable } from './table.ts';

type GateEvent = Extract<RunEvent, { type: 'gate' }>;
type ArtifactEvent = Extract<RunEvent, { type: 'artifact-written' }>;

/** What a run's events say about its result. */
export interface RunFacts {
  readonly before: readonly MetricResult[];
  readonly after: readonly { readonly format: string; readonly result: MetricResult }[];
  readonly gates: readonly GateEvent[];
  readonly artifacts: readonly ArtifactEvent[];
}

const changeWords = (before: MetricResult | undefined, after: MetricResult, style: Style): string => {
  if (!before) return '';
  const words = formatChange(before, after);
  if (after.better === undefined || after.value === before.value) return words;
  const improved = after.better === 'lower' ? after.value < before.value : after.value > before.value;
  return improved ? style.good(words) : words;
};

/** The before/after table: one row for each metric, dataset and written format. */
export const formatMetricTable = (
  facts: Pick<RunFacts, 'before' | 'after'>,
  style: Style,
  titles: { readonly before: string; readonly after: string } = { before: 'before', after: 'after' },
): string => {
  const rows = facts.after.map(({ format, result }) => {
    const before = facts.before.find((other) => other.metric === result.metric && other.dataset === result.dataset);
    return [
      printable(result.metric),
      printable(result.dataset),
      format,
      before ? formatResult(before) : '',
      style.bold(formatResult(result)),
      changeWords(before, result, style),
    ];
  });
  const alone = facts.before
    .filter(
      (before) =>
        !facts.after.some(({ result }) => result.metric === before.metric && result.dataset === before.dataset),
    )
    .map((result) => [printable(result.metric), printable(result.dataset), '', formatResult(result), '', '']);
  const columns = [
    { title: 'metric' },
    { title: 'data' },
    { title: 'format' },
    { title: titles.before, align: 'right' },
    { title: titles.after, align: 'right' },
    { title: 'change', align: 'right' },
  ] as const;
  return formatTable(columns, [...rows, ...alone], style);
};

/** One line for each gate: whether it holds, on what, what was found, the limit, and where the recipe states it. */
export const formatGates = (gates: readonly GateEvent[], style: Style): string =>
  gates
    .map(({ gate, passed, dataset, format, found, limit, unit, where }) => {
      const place = where ? style.dim(`  ${printable(where.file)}:${where.line}:${where.column}`) : '';
      const data = dataset ? ` on ${printable(dataset)}` : '';
      const verdict = passed ? style.good('passed') : style.bad('FAILED');
      const numbers = `found ${formatInUnit(found, unit)}, limit ${formatInUnit(limit, unit)}`;
      return `gate ${printable(gate)} ${verdict} for ${format}${data}: ${numbers}${place}`;
    })
    .join('\n');

/** A path from where the program runs, unless that is further than the root. */
export const shownPath = (path: string): string => {
  const near = relative('.', path);
  return near.length < path.length ? near || '.' : path;
};

/** One line for how a run ended. */
export const formatOutcome = (event: Extract<TimedEvent, { type: 'run-finished' }>, style: Style): string => {
  const time = formatDuration(event.atMs);
  const words = {
    done: style.good(`done in ${time}, with at most ${formatBytes(event.peakMemoryBytes)} of memory`),
    'gate-failed': style.bad(`a quality gate failed, after ${time}`),
    interrupted: style.warn(`stopped after ${time}; finished work is kept: run the same command to go on`),
    failed: style.bad(`failed after ${time}`),
  };
  return words[event.outcome];
};

/** The whole summary at the end of a run. */
export const formatSummary = (facts: RunFacts, style: Style): string => {
  const parts = [
    facts.before.length + facts.after.length > 0 && formatMetricTable(facts, style),
    facts.gates.length > 0 && formatGates(facts.gates, style),
    facts.artifacts.length > 0 &&
      facts.artifacts
        .map(
          (artifact) =>
            `written ${printable(shownPath(artifact.path))} ${style.dim(`(${artifact.format}, ${formatBytes(artifact.bytes)})`)}`,
        )
        .join('\n'),
  ];
  return parts.filter((part) => part !== false).join('\n\n');
};
