import type { Dataset } from '../calibration/dataset.ts';
import { onnxruntimeEngine } from '../execution/onnxruntime.ts';
import { setThreads } from '../kernels/index.ts';
import { memoryStore } from '../stages/memory-store.ts';
import type { StageContext } from '../stages/stage.ts';
import { Cache, cacheDirectory } from './cache.ts';
import type { Emit } from './events.ts';
import type { Recipe } from './recipe.ts';
import { toolFingerprint } from './tool.ts';

/** A recipe whose first stage is asked something; nothing is written to the recipe's output. */
export interface StageQuestion {
  readonly recipe: Recipe;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/** Answers a question with what a stage would be given in a run. What is gathered stays in the cache for later runs. */
export const askStage = <Answer>(
  { recipe, emit, signal }: StageQuestion,
  calibration: Dataset | undefined,
  answer: (context: StageContext) => Promise<Answer>,
): Promise<Answer> => {
  const { maxMemoryBytes, threads, seed } = recipe;
  setThreads(threads);
  const cache = new Cache(cacheDirectory(recipe.baseDirectory));
  return cache.withScratch((directory) =>
    answer({
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
    }),
  );
};
