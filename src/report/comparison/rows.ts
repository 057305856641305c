import type { MetricResult } from '../../recipe/events.ts';
import { meanBits, metricWords, sizeBefore, sizeName } from '../facts.ts';
import type { RunReport } from '../schema.ts';

/** A run under the name that tells it from the others. */
export interface NamedReport {
  readonly name: string;
  readonly report: RunReport;
}

/** One artifact of one run, in numbers. */
export interface ComparisonRow {
  readonly run: string;
  readonly format: string;
  readonly bytes: number;
  /** Bytes after divided by bytes before. */
  readonly ratio: number | undefined;
  readonly meanBits: number | undefined;
  /** By the words of the metric: `perplexity on stories`. */
  readonly metrics: ReadonlyMap<string, MetricResult>;
  readonly gates: { readonly passed: number; readonly all: number };
  readonly durationMs: number | undefined;
}

/** Every artifact of every run. */
export const comparisonRows = (runs: readonly NamedReport[]): ComparisonRow[] =>
  runs.flatMap(({ name, report }) =>
    report.artifacts.map((artifact): ComparisonRow => {
      const { format, bytes } = artifact;
      const before = sizeBefore(report)?.value;
      const gates = report.gates.filter((gate) => gate.format === format);
      return {
        run: name,
        format,
        bytes,
        ratio: before ? bytes / before : undefined,
        meanBits: artifact.weights.length > 0 ? meanBits(artifact) : undefined,
        metrics: new Map(
          report.metrics.after
            .filter((after) => after.format === format && after.result.metric !== sizeName)
            .map(({ result }) => [metricWords(result), result]),
        ),
        gates: { passed: gates.filter(({ passed }) => passed).length, all: gates.length },
        durationMs: report.course?.durationMs,
      };
    }),
  );

/** The metrics of any of the rows, in the order of their appearance. */
export const metricColumns = (rows: readonly ComparisonRow[]): string[] => [
  ...new Set(rows.flatMap(({ metrics }) => [...metrics.keys()])),
];

/** The metric that all rows have and that says most of quality, for pictures of size against quality. */
export const commonMetric = (rows: readonly ComparisonRow[]): string | undefined =>
  metricColumns(rows).find((name) =>
    rows.every(({ metrics }) => metrics.get(name)?.better !== undefined && Number.isFinite(metrics.get(name)?.value)),
  );

/** What to know before rows are compared: metrics that were not measured on the same items. */
export const comparisonNotes = (rows: readonly ComparisonRow[]): string[] =>
  metricColumns(rows).flatMap((name) => {
    const counts = new Set(rows.flatMap(({ metrics }) => metrics.get(name)?.count ?? []));
    return counts.size > 1
      ? [
          `${name} was not measured on the same items everywhere (${[...counts].join(', ')} items): look at changes, not at values`,
        ]
      : [];
  });
