import { resolve } from 'node:path';
import { inputFiles, openModel } from '../artifact/open.ts';
import { hashInputs } from '../artifact/write.ts';
import { internalError } from '../errors.ts';
import type { Model } from '../ir/model.ts';
import type { ModelSource, Stage } from '../stages/stage.ts';
import type { Entry } from './entries.ts';
import type { Recipe } from './recipe.ts';

/** Paths of other models that a stage's options name, as they are written. */
const referencesOf = ({ card, options }: Entry<Stage<unknown>>): readonly string[] => card.references?.(options) ?? [];

/** Opens every model that a stage names. Reads no weight. @throws CompressError for what cannot be opened. */
export const openReferences = async (stage: Entry<Stage<unknown>>, recipe: Recipe): Promise<Map<string, Model>> => {
  const models = new Map<string, Model>();
  for (const path of referencesOf(stage)) models.set(path, await openModel(resolve(recipe.baseDirectory, path)));
  return models;
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
    open: async (path) => {
      const model = references.get(path);
      if (!model) throw internalError(`stage '${stage.name}' opens ${path}, which it has not named`);
      return model;
    },
  };
};
