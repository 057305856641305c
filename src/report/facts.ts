import type { MetricResult } from '../recipe/events.ts';
import type { ReportArtifact, RunReport } from './schema.ts';

/** The value before that belongs to a value after. */
export const beforeOf = (report: Pick<RunReport, 'metrics'>, after: MetricResult): MetricResult | undefined =>
  report.metrics.before.find(({ metric, dataset }) => metric === after.metric && dataset === after.dataset);

export const sizeName = 'size';
const timed = 'latency';

/** What says most of the quality of a run: the first metric, on its first data, that has a value before and a better side. */
export const mainMetric = (report: Pick<RunReport, 'metrics'>): MetricResult | undefined => {
  const results = report.metrics.after.map(({ result }) => result).filter(isQuality);
  return results.find((result) => beforeOf(report, result)) ?? results[0];
};

const isQuality = ({ metric, better }: MetricResult): boolean =>
  metric !== sizeName && metric !== timed && better !== undefined;

/** What was measured of a format, of one metric. */
export const measuredOf = (
  report: Pick<RunReport, 'metrics'>,
  format: string,
  wanted: Pick<MetricResult, 'metric' | 'dataset'>,
): MetricResult | undefined =>
  report.metrics.after.find(
    (after) =>
      after.format === format && after.result.metric === wanted.metric && after.result.dataset === wanted.dataset,
  )?.result;

export const sizeBefore = (report: Pick<RunReport, 'metrics'>): MetricResult | undefined =>
  report.metrics.before.find(({ metric }) => metric === sizeName);

/** `perplexity on stories`. */
export const metricWords = ({ metric, dataset }: Pick<MetricResult, 'metric' | 'dataset'>): string =>
  dataset ? `${metric} on ${dataset}` : metric;

/** Every warning and fallback, with where it comes from. */
export const warningsOf = (
  report: Pick<RunReport, 'warnings' | 'stages' | 'artifacts'>,
): { readonly from: string; readonly text: string; readonly site?: string }[] => [
  ...report.warnings.map((text) => ({ from: 'recipe', text })),
  ...[
    ...report.stages.map(({ stage, findings }) => ({ from: stage, findings })),
    ...report.artifacts.map(({ format, findings }) => ({ from: format, findings })),
  ].flatMap(({ from, findings }) =>
    findings
      .filter(({ kind }) => kind !== 'fact')
      .map(({ kind, text, site }) => ({
        from,
        text: kind === 'fallback' ? `fallback: ${text}` : text,
        ...(site === undefined ? {} : { site }),
      })),
  ),
];

/** Mean bits of the weights of an artifact, scales not counted. */
export const meanBits = ({ weights }: Pick<ReportArtifact, 'weights'>): number => {
  const elements = weights.map(({ shape }) => shape.reduce((product, length) => product * length, 1));
  const total = elements.reduce((sum, count) => sum + count, 0);
  return weights.reduce((sum, { bits }, index) => sum + bits * (elements[index] ?? 0), 0) / total;
};
