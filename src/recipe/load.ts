import { dirname, resolve } from 'node:path';
import type { z } from 'zod';
import { type FormatCard, formats } from '../artifact/formats/index.ts';
import { internalError } from '../errors.ts';
import { metrics } from '../metrics/table.ts';
import { stages } from '../stages/registry.ts';
import type { Stage } from '../stages/stage.ts';
import { readDatasets } from './datasets.ts';
import { addUnknownName, type Entry, type EntryTable, readEntry } from './entries.ts';
import { type Bounds, boundsSchema, type Gate } from './gates.ts';
import { type Override, withOverrides } from './overrides.ts';
import { isMap, Problems } from './problems.ts';
import type { Recipe } from './recipe.ts';
import { outerSchema } from './schema.ts';
import { type KeyPath, type RecipeSource, readRecipe } from './source.ts';
import { describeValue } from './words.ts';

const byName = <Card extends { readonly name: string }>(cards: readonly Card[]): ReadonlyMap<string, Card> =>
  new Map(cards.map((card) => [card.name, card]));

const stageTable: EntryTable<Stage<unknown>> = {
  what: 'stage',
  cards: byName(stages),
  schemaOf: (stage) => stage.options,
};

const formatTable: EntryTable<FormatCard> = {
  what: 'format',
  cards: byName(formats),
  schemaOf: (format) => format.options,
};

const gateTable: EntryTable<(typeof metrics)[number]> = {
  what: 'gate',
  cards: byName(metrics),
  schemaOf: () => boundsSchema,
};

/** Reads a recipe file, with values replaced by flags. @throws CompressErrors with every problem of the recipe. */
export const readRecipeFile = (file: string, overrides: readonly Override[] = []): Recipe =>
  loadRecipe(withOverrides(readRecipe(file), overrides), dirname(resolve(file)));

/**
 * Checks a recipe against its schema and fills in every default.
 * @param baseDirectory where relative paths start.
 * @throws CompressErrors with every problem, each with its place and, for unknown names, the nearest known one.
 */
export const loadRecipe = (source: RecipeSource, baseDirectory: string): Recipe => {
  const problems = new Problems(source);
  const parsed = outerSchema.safeParse(source.value ?? {});
  if (!parsed.success)
    problems.addIssues({ schema: outerSchema, value: source.value ?? {}, base: [] }, parsed.error.issues);
  const outer = parsed.success ? parsed.data : looseOuter(source.value);
  const recipe = {
    calibration: readDatasets(problems, ['data', 'calibration'], outer.data.calibration),
    training: readDatasets(problems, ['data', 'training'], outer.data.training),
    evaluation: readDatasets(problems, ['data', 'evaluation'], outer.data.evaluation),
    stages: readEntries(problems, 'stages', outer.stages, stageTable),
    formats: readEntries(problems, 'write', outer.write, formatTable),
    metrics: readMetrics(problems, outer.metrics),
    gates: readGates(problems, outer.gates, source),
  };
  if (problems.count === 0) checkNames(problems, recipe);
  problems.throwIfAny();
  if (!parsed.success) throw internalError('a recipe without problems was not read');
  const {
    model,
    output,
    seed,
    max_memory: maxMemoryBytes,
    threads,
    model_card: modelCard,
    strict,
    target,
  } = parsed.data;
  const { path, ...build } = typeof model === 'string' ? { path: model } : model;
  return {
    source,
    baseDirectory,
    model: { path: resolve(baseDirectory, path), build: definedOnly(build) },
    output: resolve(baseDirectory, output),
    seed,
    ...recipe,
    maxMemoryBytes,
    threads,
    modelCard,
    strict,
    target,
  };
};

/** A map without the keys whose value is undefined. */
const definedOnly = <Keys extends object>(map: Keys): { [Key in keyof Keys]?: Exclude<Keys[Key], undefined> } =>
  Object.fromEntries(Object.entries(map).filter(([, value]) => value !== undefined)) as {
    [Key in keyof Keys]?: Exclude<Keys[Key], undefined>;
  };

type Outer = Pick<z.output<typeof outerSchema>, 'data' | 'stages' | 'write' | 'metrics' | 'gates'>;

/** The entries of a recipe whose own keys are wrong, as far as they can be found: their problems are told too. */
const looseOuter = (value: unknown): Outer => {
  const map = isMap(value) ? value : {};
  const list = (key: string): unknown[] => (Array.isArray(map[key]) ? map[key] : []);
  const data = isMap(map.data) ? map.data : {};
  return {
    data: { calibration: data.calibration, training: data.training, evaluation: data.evaluation },
    stages: list('stages'),
    write: map.write ?? [],
    metrics: list('metrics'),
    gates: list('gates'),
  };
};

const readEntries = <Card>(problems: Problems, key: string, value: unknown, table: EntryTable<Card>): Entry<Card>[] => {
  const items = Array.isArray(value)
    ? value.map((item, index) => ({ item, path: [key, index] }))
    : [{ item: value, path: [key] }];
  return items.flatMap(({ item, path }) => readEntry(problems, path, item, table) ?? []);
};

const metricNames = metrics.map((metric) => metric.name);

/** Names of metrics; undefined (for the usual choice) where none are given. */
export const readMetrics = (problems: Problems, value: unknown): string[] | undefined => {
  if (!Array.isArray(value)) return undefined;
  return value.flatMap((name: unknown, index) => {
    if (typeof name === 'string' && metricNames.includes(name)) return [name];
    const path = ['metrics', index];
    if (typeof name === 'string') addUnknownName(problems, path, { what: 'metric', name, known: metricNames });
    else problems.add(path, { message: `expected the name of a metric, found ${describeValue(name)}` });
    return [];
  });
};

const readGates = (problems: Problems, value: unknown, source: RecipeSource): Gate[] =>
  readEntries(problems, 'gates', value, gateTable).map((entry) => ({
    metric: entry.name,
    // The table's schema is boundsSchema for every gate.
    bounds: entry.options as Bounds,
    where: source.locate(entry.path, 'key'),
  }));

/** Names that one part of a recipe uses and another one gives. */
const checkNames = (problems: Problems, recipe: Pick<Recipe, 'evaluation' | 'formats' | 'gates'>): void => {
  const formatNames = recipe.formats.map((format) => format.name);
  recipe.formats.forEach((format, index) => {
    if (formatNames.indexOf(format.name) !== index)
      problems.add(format.path, { message: `the format '${format.name}' is asked for twice` });
  });
  const datasetNames = recipe.evaluation.map((dataset) => dataset.name);
  recipe.gates.forEach((gate, index) => {
    const path: KeyPath = ['gates', index, gate.metric];
    const { dataset, format } = gate.bounds;
    if (dataset !== undefined && !datasetNames.includes(dataset))
      addUnknownName(problems, [...path, 'dataset'], {
        what: 'evaluation dataset',
        name: dataset,
        known: datasetNames,
      });
    if (format !== undefined && !formatNames.includes(format))
      addUnknownName(problems, [...path, 'format'], {
        what: 'format in write',
        name: format,
        known: [...new Set(formatNames)],
      });
  });
};
