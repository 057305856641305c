import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { inputFiles, openModel } from '../artifact/open.ts';
import { checkOutputFolder } from '../artifact/output-folder.ts';
import type { Dataset } from '../calibration/dataset.ts';
import type { DatasetContext } from '../calibration/samples/kind.ts';
import { CompressError, internalError } from '../errors.ts';
import { inputSignature } from '../execution/signature.ts';
import type { BuildOptions } from '../families/family.ts';
import { readConstantsDirectly } from '../ir/edit/read-constants-directly.ts';
import type { Model } from '../ir/model.ts';
import type { StagePlan } from '../stages/stage.ts';
import { checkGates, chooseMetrics } from './choose-metrics.ts';
import type { NamedDataset } from './datasets.ts';
import { joinDatasets } from './joined-dataset.ts';
import { Problems } from './problems.ts';
import type { Recipe } from './recipe.ts';
import { openReferences } from './references.ts';
import type { KeyPath } from './source.ts';

/** An open dataset under the name that reports use. */
export interface OpenDataset {
  readonly name: string;
  readonly dataset: Dataset;
}

/** An evaluation dataset and what is measured on it. */
export interface EvaluationData extends OpenDataset {
  readonly metrics: readonly string[];
}

/** A recipe whose model and data are open and whose every checkable promise has been checked; no weight was read. */
export interface PreparedRun {
  readonly model: Model;
  /** How a checkpoint's graph was built: part of what the model is. */
  readonly build: Partial<BuildOptions>;
  /** Every file that the model was opened from, absolute and sorted. */
  readonly inputs: readonly string[];
  readonly calibration: readonly OpenDataset[];
  readonly training: readonly OpenDataset[];
  readonly evaluation: readonly EvaluationData[];
  /** One for each stage. */
  readonly plans: readonly StagePlan[];
  readonly warnings: readonly string[];
}

/** All calibration samples one after the other; undefined where there are none. */
export const calibrationOf = (prepared: PreparedRun): Dataset | undefined =>
  joinDatasets(prepared.calibration.map(({ dataset }) => dataset));

/** All training samples one after the other; where the recipe gives none, those of calibration. */
export const trainingOf = (prepared: PreparedRun): Dataset | undefined =>
  joinDatasets(prepared.training.map(({ dataset }) => dataset)) ?? calibrationOf(prepared);

/**
 * Opens what a recipe names and checks what can be checked before any work.
 * @throws CompressErrors with every problem found.
 */
export const prepareRun = async (recipe: Recipe): Promise<PreparedRun> => {
  const problems = new Problems(recipe.source);
  checkNeeds(problems, recipe);
  checkGates(problems, recipe);
  const build = buildOptions(recipe);
  const model = await attempt(problems, ['model'], () => openModel(recipe.model.path, build));
  const inputs = model ? inputFiles(recipe.model.path, model) : [];
  await attempt(problems, ['output'], async () => checkOutput(recipe, inputs));
  if (!model) {
    problems.throwIfAny();
    throw internalError('a model that does not open was no problem');
  }
  if (recipe.stages.length > 0) readConstantsDirectly(model.program);
  const context = datasetContext(model, recipe);
  const calibration = await openDatasets(problems, recipe.calibration, context);
  const training = await openDatasets(problems, recipe.training, context);
  const evaluation: EvaluationData[] = [];
  for (const data of await openDatasets(problems, recipe.evaluation, context))
    evaluation.push({ ...data, metrics: await chooseMetrics(recipe, model.program, data) });
  const plans: StagePlan[] = [];
  let planned = model;
  for (const stage of recipe.stages) {
    await attempt(problems, stage.path, () => openReferences(stage, recipe));
    const plan = await attempt(problems, stage.path, async () => stage.card.plan(planned, stage.options));
    if (plan) plans.push(plan);
    planned = plan?.next ?? planned;
  }
  problems.throwIfAny();
  return { model, build, inputs, calibration, training, evaluation, plans, warnings: warningsOf(recipe) };
};

/** Runs a step; what is wrong with it is added to the problems at the recipe's place. */
export const attempt = async <Result>(
  problems: Problems,
  path: KeyPath,
  step: () => Promise<Result>,
): Promise<Result | undefined> => {
  try {
    return await step();
  } catch (error) {
    problems.addError(path, error);
    return undefined;
  }
};

/** The build that the recipe asks for, with the layout that a written format cannot do without. */
const buildOptions = ({ model, formats }: Recipe): Partial<BuildOptions> => {
  const needed = formats.map((format) => format.card.layout).find((layout) => layout !== undefined);
  return { ...(needed === undefined ? {} : { layout: needed }), ...model.build };
};

/** @throws CompressError where the output would destroy something or cannot be written. */
const checkOutput = (recipe: Recipe, inputs: readonly string[]): void => {
  checkOutputFolder(recipe.output, [...inputs, ...(recipe.source.file === undefined ? [] : [recipe.source.file])]);
  let parent = dirname(recipe.output);
  while (!existsSync(parent)) parent = dirname(parent);
  const complain = (message: string): CompressError =>
    new CompressError({ code: 'resource', message, where: { file: parent }, hint: 'Choose another output folder.' });
  if (!statSync(parent).isDirectory()) throw complain('this is a file, so no folder can be made below it');
  try {
    accessSync(parent, constants.W_OK | constants.X_OK);
  } catch {
    throw complain('there is no right to write here');
  }
};

const companion = (model: Model, name: string): string | undefined =>
  model.companions.find((file) => file.name === name)?.path;

/** What datasets need to know of the model that their samples are for. */
export const datasetContext = (
  model: Model,
  { baseDirectory, seed }: Pick<Recipe, 'baseDirectory' | 'seed'>,
): DatasetContext => {
  const vocabulary = model.config?.vocab_size;
  return {
    baseDirectory,
    seed,
    modelInputs: inputSignature(model.program),
    tokenizerPath: companion(model, 'tokenizer.json'),
    preprocessorPath: companion(model, 'preprocessor_config.json'),
    vocabulary: typeof vocabulary === 'number' ? vocabulary : undefined,
  };
};

/** Opens datasets; what is wrong with one, or its having no samples, is a problem. */
export const openDatasets = async (
  problems: Problems,
  datasets: readonly NamedDataset[],
  context: DatasetContext,
): Promise<OpenDataset[]> => {
  const open: OpenDataset[] = [];
  for (const { name, kind, options, path } of datasets) {
    const dataset = await attempt(problems, path, () => kind.open(options, context));
    if (dataset?.length === 0) problems.add(path, { code: 'data', message: `the dataset '${name}' has no samples` });
    else if (dataset) open.push({ name, dataset });
  }
  return open;
};

/** What stages ask for that the recipe's data section must give. */
const checkNeeds = (problems: Problems, recipe: Recipe): void => {
  for (const stage of recipe.stages) {
    const trains = stage.card.trains === true && recipe.training.length > 0;
    if (recipe.calibration.length === 0 && !trains && stage.card.needsCalibration(stage.options))
      problems.add(stage.path, {
        message: `the stage '${stage.name}' needs calibration data with these options, and the recipe gives none`,
        hint: 'Add data: { calibration: { text: corpus.txt, window: 512, samples: 64 } }, or choose a method that needs none.',
      });
  }
};

const warningsOf = (recipe: Recipe): string[] => {
  const warnings: string[] = [];
  if (recipe.evaluation.length === 0 && recipe.stages.length > 0)
    warnings.push('there is no evaluation data: nothing but the size will be measured');
  if (recipe.calibration.length > 0 && recipe.stages.length === 0)
    warnings.push('there are no stages: the calibration data is not used');
  if (recipe.training.length > 0 && !recipe.stages.some(({ card }) => card.trains === true))
    warnings.push('no stage trains: the training data is not used');
  return warnings;
};
