import { basename, relative } from 'node:path';
import { describeGraph } from '../artifact/describe/graph.ts';
import type { Manifest } from '../artifact/manifest-schema.ts';
import { openModel } from '../artifact/open.ts';
import type { WrittenFormat } from '../artifact/write.ts';
import type { Program } from '../ir/graph.ts';
import type { ReportArtifact, ReportContent, ReportData, RunReport } from '../report/schema.ts';
import type { MetricResult } from './events.ts';
import type { OpenDataset, PreparedRun } from './prepare.ts';
import type { Recipe } from './recipe.ts';
import { toolVersion } from './version.ts';

const dataOf = (use: ReportData['use'], sets: readonly OpenDataset[]): ReportData[] =>
  sets.map(({ name, dataset }) => ({ use, name, description: dataset.description, samples: dataset.length }));

/** What a program is made of; no weight is read. */
const contentOf = (program: Program): ReportContent => {
  const { parameters, byPart } = describeGraph(program);
  const parts = Object.entries(byPart).map(([part, tally]) => ({ part, ...tally }));
  return { parameters, parts };
};

/** A written format as the report lists it. @param root the folder that holds all of them. */
export const reportedArtifact = async (root: string, format: WrittenFormat): Promise<ReportArtifact> => ({
  format: format.name,
  directory: relative(root, format.directory).replaceAll('\\', '/') || '.',
  bytes: format.byteLength,
  findings: format.findings as ReportArtifact['findings'],
  ...(format.entry === undefined ? {} : { content: contentOf((await openModel(format.entry)).program) }),
  weights: format.weights.map(({ dtype: _, ...weight }) => weight),
});

/** The part of a report that is known before the work begins. */
export const reportedRequest = (
  recipe: Recipe,
  { model, calibration, training, evaluation, warnings }: PreparedRun,
): Pick<RunReport, 'schemaVersion' | 'version' | 'recipe' | 'recipeText' | 'seed' | 'model' | 'data' | 'warnings'> => ({
  schemaVersion: 1,
  version: toolVersion(),
  ...(recipe.source.file === undefined ? {} : { recipe: recipe.source.file }),
  recipeText: recipe.source.text,
  seed: recipe.seed,
  model: {
    name: basename(recipe.model.path),
    ...(model.family === undefined ? {} : { family: model.family }),
    content: contentOf(model.program),
  },
  data: [...dataOf('calibration', calibration), ...dataOf('training', training), ...dataOf('evaluation', evaluation)],
  warnings,
});

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
