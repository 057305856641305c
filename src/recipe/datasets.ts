import { basename, extname } from 'node:path';
import type { DatasetKind } from '../calibration/samples/kind.ts';
import { datasetKinds } from '../calibration/samples/table.ts';
import { CompressError } from '../errors.ts';
import { parseDatasetText } from './dataset-text.ts';
import { addUnknownName, readOptions } from './entries.ts';
import { isMap, type Problems } from './problems.ts';
import type { KeyPath } from './source.ts';
import { describeValue } from './words.ts';

/** A dataset of a recipe before it is opened. */
export interface NamedDataset {
  /** As reports call it. */
  readonly name: string;
  readonly kind: DatasetKind;
  /** Output of the kind's schema. */
  readonly options: unknown;
  readonly path: KeyPath;
}

const kindNames = datasetKinds.map((kind) => kind.name);

/** Reads one dataset or a list of them; what is wrong is added to the problems. */
export const readDatasets = (problems: Problems, path: KeyPath, value: unknown): NamedDataset[] => {
  if (value === undefined) return [];
  const items = Array.isArray(value)
    ? value.map((item, index) => ({ item, path: [...path, index] }))
    : [{ item: value, path }];
  const named: NamedDataset[] = [];
  for (const { item, path: at } of items) {
    const dataset = readDataset(problems, at, item);
    if (!dataset) continue;
    named.push({
      ...dataset,
      name: freeName(
        dataset.name,
        named.map((other) => other.name),
      ),
    });
  }
  return named;
};

const freeName = (wish: string, taken: readonly string[]): string => {
  let name = wish;
  for (let number = 2; taken.includes(name); number++) name = `${wish}-${number}`;
  return name;
};

const readDataset = (problems: Problems, path: KeyPath, value: unknown): NamedDataset | undefined => {
  const spec = specOf(problems, path, value);
  if (!spec) return undefined;
  const { name, ...written } = spec;
  const kinds = datasetKinds.filter((kind) => Object.hasOwn(written, kind.name));
  const [kind, second] = kinds;
  if (!kind) {
    const first = Object.keys(written)[0];
    if (first === undefined) problems.add(path, { message: 'a dataset names its kind and its path', hint: kindHint });
    else addUnknownName(problems, [...path, first], { what: 'kind of data', name: first, known: kindNames }, 'key');
    return undefined;
  }
  if (second) {
    problems.add(
      [...path, second.name],
      { message: `a dataset has one kind, and this one has ${kind.name} and ${second.name}` },
      'key',
    );
    return undefined;
  }
  if (name !== undefined && (typeof name !== 'string' || name === '')) {
    problems.add([...path, 'name'], { message: `expected a name, found ${describeValue(name)}` });
    return undefined;
  }
  const options = readOptions(problems, path, kind.spec, written);
  return options && { name: name ?? defaultName(kind, written[kind.name]), kind, options: options.value, path };
};

const kindHint = `Kinds of data: ${kindNames.join(', ')}.`;

const specOf = (problems: Problems, path: KeyPath, value: unknown): Record<string, unknown> | undefined => {
  if (isMap(value)) return value;
  if (typeof value !== 'string') {
    problems.add(path, { message: `expected a dataset, found ${describeValue(value)}`, hint: kindHint });
    return undefined;
  }
  try {
    return parseDatasetText(value, kindNames);
  } catch (error) {
    if (!(error instanceof CompressError)) throw error;
    problems.addError(path, error);
    return undefined;
  }
};

/** The file's name without its ending, or the kind where there is no file. */
const defaultName = (kind: DatasetKind, source: unknown): string => {
  const first: unknown = Array.isArray(source) ? source[0] : source;
  if (typeof first !== 'string' || first === '') return kind.name;
  return basename(first, extname(first)) || kind.name;
};

/** A dataset written as one text, in map form, with its path (where it has one) passed through `move`. */
export const readDatasetText = (text: string, move: (path: string) => string): Record<string, unknown> => {
  const spec = parseDatasetText(text, kindNames);
  return Object.fromEntries(
    Object.entries(spec).map(([key, value]) => [
      key,
      kindNames.includes(key) && key !== 'random' && typeof value === 'string' ? move(value) : value,
    ]),
  );
};
