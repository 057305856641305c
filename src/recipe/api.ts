import { resolve } from 'node:path';
import type { RunReport } from '../report/schema.ts';
import { loadRecipe, readRecipeFile } from './load.ts';
import { type PlanReport, planRecipe } from './plan.ts';
import type { Recipe } from './recipe.ts';
import { type RunOptions, runRecipe } from './run.ts';
import { builtRecipe } from './source.ts';

/** The path of a recipe file, or a recipe as a plain object with the same keys. */
export type RecipeInput = string | Readonly<Record<string, unknown>>;

export interface PlaceOptions {
  /** Where relative paths of a recipe object start; by default the working directory. Files start at their own folder. */
  readonly directory?: string;
}

const recipeOf = (input: RecipeInput, { directory = '.' }: PlaceOptions): Recipe =>
  typeof input === 'string' ? readRecipeFile(input) : loadRecipe(builtRecipe(input), resolve(directory));

/**
 * Runs a recipe: see `runRecipe`. A failed gate is an outcome of the report, not an error.
 * @throws CompressError for everything that is wrong with the recipe, the model or the data.
 */
export const run = async (recipe: RecipeInput, options: RunOptions & PlaceOptions = {}): Promise<RunReport> =>
  runRecipe(recipeOf(recipe, options), options);

/** Says what a recipe would do, without reading a weight. @throws CompressError for everything that is wrong with it. */
export const plan = async (recipe: RecipeInput, options: PlaceOptions = {}): Promise<PlanReport> =>
  planRecipe(recipeOf(recipe, options));

/** One quantization: the recipe's own keys, with the options of the stage under `quantize`. */
export interface QuantizeRequest {
  readonly model: string;
  readonly output: string;
  /** Options of the stage, as a recipe writes them: `{ weights: { bits: 4, group_size: 32 } }`. */
  readonly quantize: Readonly<Record<string, unknown>>;
  /** Data as a recipe writes it: `text:corpus.txt,window=512` or `{ text: 'corpus.txt', window: 512 }`. */
  readonly calibration?: unknown;
  readonly evaluation?: unknown;
  /** Formats to write; ONNX by default. */
  readonly write?: unknown;
  readonly gates?: readonly unknown[];
  readonly seed?: number;
}

/** Quantizes a model without a recipe file. */
export const quantize = async (
  request: QuantizeRequest,
  options: RunOptions & PlaceOptions = {},
): Promise<RunReport> => {
  const { quantize: stage, calibration, evaluation, ...rest } = request;
  const data = {
    ...(calibration === undefined ? {} : { calibration }),
    ...(evaluation === undefined ? {} : { evaluation }),
  };
  return run({ ...rest, data, stages: [{ quantize: stage }] }, options);
};
