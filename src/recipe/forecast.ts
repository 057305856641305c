import { CompressError } from '../errors.ts';
import { onnxruntimeEngine } from '../execution/onnxruntime.ts';
import { setThreads } from '../kernels/index.ts';
import { memoryStore } from '../stages/memory-store.ts';
import type { StageForecast } from '../stages/stage.ts';
import { Cache, cacheDirectory } from './cache.ts';
import type { Emit } from './events.ts';
import { calibrationOf, prepareRun } from './prepare.ts';
import type { Recipe } from './recipe.ts';
import { modelSource } from './references.ts';
import { toolFingerprint } from './tool.ts';

export interface ForecastRequest {
  readonly recipe: Recipe;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/**
 * What the first stage of a recipe would lose for several budgets, predicted on its calibration data. Nothing is
 * changed or written; what is gathered stays in the cache for the run.
 * @throws CompressErrors with everything that is wrong with the recipe; 'usage' where its first stage weighs nothing.
 */
export const forecastRecipe = async ({ recipe, emit, signal }: ForecastRequest): Promise<StageForecast> => {
  const [stage] = recipe.stages;
  const { card } = stage ?? {};
  if (!stage || !card?.forecast)
    throw new CompressError({
      code: 'usage',
      message: `there is no front to predict: ${stage ? `the first stage is '${stage.name}'` : 'the recipe has no stages'}`,
      hint: 'A front is predicted for a recipe that begins with auto.',
    });
  const prepared = await prepareRun(recipe);
  setThreads(recipe.threads);
  const cache = new Cache(cacheDirectory(recipe.baseDirectory));
  const { maxMemoryBytes, threads, seed } = recipe;
  return cache.withScratch(async (directory) =>
    card.forecast!(prepared.model, stage.options, {
      calibration: calibrationOf(prepared),
      models: await modelSource(prepared.model, stage, recipe),
      engine: onnxruntimeEngine,
      maxMemoryBytes,
      threads,
      seed,
      checkpoints: memoryStore(),
      shared: cache.statistics(toolFingerprint()),
      scratch: { directory },
      emit,
      signal,
    }),
  );
};
