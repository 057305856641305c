import type { Manifest } from '../artifact/manifest-schema.ts';
import type { MetricResult } from './events.ts';
import type { AfterResult, GateVerdict } from './gates.ts';
import type { StageFindings } from './run-stages.ts';

/** One written format of a report. */
export interface ReportedArtifact {
  readonly format: string;
  /** Folder of its files, relative to the output folder. */
  readonly directory: string;
  readonly bytes: number;
  readonly findings: Manifest['findings'];
}

/** What a run did and found. Holds no times: equal inputs give equal reports. */
export interface RunReport {
  readonly outcome: 'done' | 'gate-failed';
  readonly version: string;
  /** The recipe's file as it was named; undefined when flags made it. */
  readonly recipe: string | undefined;
  readonly seed: number;
  readonly stages: readonly StageFindings[];
  readonly artifacts: readonly ReportedArtifact[];
  readonly metrics: { readonly before: readonly MetricResult[]; readonly after: readonly AfterResult[] };
  readonly gates: readonly GateVerdict[];
}

/** A report as it is written: numbers that are not finite as null. */
export const reportBytes = (report: RunReport): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(report, null, 2)}\n`);

const manifestMetric = (result: MetricResult): Omit<Manifest['metrics'][number], 'model' | 'format'> => ({
  metric: result.metric,
  dataset: result.dataset,
  value: Number.isFinite(result.value) ? result.value : null,
  ...(result.interval === undefined || !Number.isFinite(result.interval) ? {} : { interval: result.interval }),
  ...(result.unit === undefined ? {} : { unit: result.unit }),
  count: result.count,
  ...(result.better === undefined ? {} : { better: result.better }),
});

/** The metrics of a report as the manifest lists them. */
export const manifestMetrics = ({ before, after }: RunReport['metrics']): Manifest['metrics'] => [
  ...before.map((result) => ({ model: 'before' as const, ...manifestMetric(result) })),
  ...after.map(({ format, result }) => ({ model: 'after' as const, format, ...manifestMetric(result) })),
];

/** Every finding of a report, in the order of the work. */
export const reportFindings = (report: Pick<RunReport, 'stages' | 'artifacts'>): Manifest['findings'] =>
  [...report.stages, ...report.artifacts].flatMap(
    (part): readonly Manifest['findings'][number][] => part.findings as Manifest['findings'],
  );
