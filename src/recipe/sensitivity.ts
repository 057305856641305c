import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { CompressError, internalError } from '../errors.ts';
import { onnxruntimeEngine } from '../execution/onnxruntime.ts';
import { setThreads } from '../kernels/index.ts';
import { memoryStore } from '../stages/memory-store.ts';
import type { SensitivityOptions } from '../stages/sensitivity/options.ts';
import type { SensitivityReport } from '../stages/sensitivity/report.ts';
import { findSensitivity } from '../stages/sensitivity/sensitivity.ts';
import { Cache, cacheDirectory } from './cache.ts';
import type { Emit } from './events.ts';
import { calibrationOf, prepareRun } from './prepare.ts';
import type { Recipe } from './recipe.ts';
import { orExplain, writeWhole } from './store.ts';
import { toolFingerprint } from './tool.ts';

export interface SensitivityRequest {
  /** A recipe whose first stage is `sensitivity`; nothing is written to its output. */
  readonly recipe: Recipe;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/**
 * What the sensitivity stage of a recipe finds out, without making a model. What it gathers stays in the cache for
 * later stages and commands.
 * @throws CompressErrors with everything that is wrong with the recipe.
 */
export const analyseSensitivity = async ({ recipe, emit, signal }: SensitivityRequest): Promise<SensitivityReport> => {
  const [stage] = recipe.stages;
  if (stage?.name !== 'sensitivity') throw internalError('a recipe without a sensitivity stage was to be analysed');
  const prepared = await prepareRun(recipe);
  const calibration = calibrationOf(prepared);
  if (!calibration)
    throw new CompressError({
      code: 'usage',
      message: 'there are no data to find sensitivities on',
      hint: 'Name some: --calibration text:corpus.txt,window=512,samples=64',
    });
  setThreads(recipe.threads);
  const cache = new Cache(cacheDirectory(recipe.baseDirectory));
  const { maxMemoryBytes, threads, seed } = recipe;
  return cache.withScratch(async (directory) => {
    const { report } = await findSensitivity(prepared.model.program, calibration, stage.options as SensitivityOptions, {
      calibration,
      engine: onnxruntimeEngine,
      maxMemoryBytes,
      threads,
      seed,
      checkpoints: memoryStore(),
      shared: cache.statistics(toolFingerprint()),
      scratch: { directory },
      emit,
      signal,
    });
    return report;
  });
};

/** The losses of all formats as comma-separated values: one line for each weight and format. */
const lossLines = ({ sites }: SensitivityReport): string =>
  [
    'site,format,bytes,loss,measured,chosen',
    ...sites.flatMap(({ site, options, chosen }) =>
      options.map(({ format, bytes, loss, measured }) =>
        [JSON.stringify(site), format, bytes, loss, measured ?? '', chosen === format ? 1 : 0].join(','),
      ),
    ),
    '',
  ].join('\n');

const frontLines = ({ front }: SensitivityReport): string =>
  [`${front.measure},loss`, ...front.points.map(({ cost, loss }) => `${cost},${loss}`), ''].join('\n');

/** Writes a report as files: sensitivity.json, losses.csv, front.csv, and recipe.yaml where widths were chosen. */
export const writeSensitivity = (report: SensitivityReport, directory: string, model: string): readonly string[] => {
  orExplain(directory, () => mkdirSync(directory, { recursive: true }));
  const { recipe, ...facts } = report;
  const files: [string, string][] = [
    ['sensitivity.json', `${JSON.stringify(facts, null, 2)}\n`],
    ['losses.csv', lossLines(report)],
    ['front.csv', frontLines(report)],
  ];
  if (recipe !== undefined) files.push(['recipe.yaml', `${stringify({ model })}${recipe}`]);
  return files.map(([name, text]) => {
    const path = join(directory, name);
    writeWhole(path, text);
    return path;
  });
};
