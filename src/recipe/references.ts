import { resolve } from 'node:path';
import { inputFiles, openModel } from '../artifact/open.ts';
import { hashInputs } from '../artifact/write.ts';
import { internalError } from '../errors.ts';
import type { Model } from '../ir/model.ts';
import type { ModelSource, Stage } from '../stages/stage.ts';
import { isCapture, readCapture } from '../training/capture/read.ts';
import type { Entry } from './entries.ts';
import type { Recipe } from './recipe.ts';

/** Paths of other models that a stage's options name, as they are written. */
const referencesOf = ({ card, options }: Entry<Stage<unknown>>): readonly string[] => card.references?.(options) ?? [];

/** Opens every model that a stage names, and looks at what was captured of one. Reads no weight. @throws CompressError for what cannot be opened. */
export const openReferences = async (stage: Entry<Stage<unknown>>, recipe: Recipe): Promise<Map<string, Model>> => {
  const models = new Map<string, Model>();
  for (const path of referencesOf(stage)) {
    const folder = captureAt(path, recipe);
    if (folder === undefined) models.set(path, await openModel(resolve(recipe.baseDirectory, path)));
    else readCapture(folder);
  }
  return models;
};

/** The folder of captured scores that a path names. */
const captureAt = (path: string, { baseDirectory }: Recipe): string | undefined => {
  const folder = resolve(baseDirectory, path);
  return isCapture(folder) ? folder : undefined;
};

/** Hashes of the files of every model that a stage names: part of what its result depends on. */
export const hashReferences = async (
  stage: Entry<Stage<unknown>>,
  recipe: Recipe,
  signal: AbortSignal,
): Promise<unknown[]> => {
  const hashes: unknown[] = [];
  for (const [path, model] of await openReferences(stage, recipe))
    hashes.push(await hashInputs(inputFiles(resolve(recipe.baseDirectory, path), model), signal));
  for (const path of referencesOf(stage)) {
    const folder = captureAt(path, recipe);
    if (folder !== undefined) hashes.push(readCapture(folder));
  }
  return hashes;
};

/** The models that a running stage may look at. */
export const modelSource = async (
  original: Model,
  stage: Entry<Stage<unknown>>,
  recipe: Recipe,
): Promise<ModelSource> => {
  const references = await openReferences(stage, recipe);
  return {
    original,
    captureAt: (path) => captureAt(path, recipe),
    open: async (path) => {
      const model = references.get(path);
      if (!model) throw internalError(`stage '${stage.name}' opens ${path}, which it has not named`);
      return model;
    },
  };
};
