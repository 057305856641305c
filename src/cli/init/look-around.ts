import { type Dirent, existsSync, readdirSync } from 'node:fs';
import { basename, dirname, extname, join, relative } from 'node:path';
import { openDataset } from '../../calibration/samples/table.ts';
import { CompressError, CompressErrors } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import { readDatasetText } from '../../recipe/datasets.ts';
import { datasetContext } from '../../recipe/prepare.ts';
import type { ModelKind } from './template.ts';

const pictures = new Set(['.jpg', '.jpeg', '.png', '.webp']);

/** Data found near a model, as a command line writes it: `text:corpus.txt,window=512,samples=64`. */
export interface FoundData {
  readonly text: string;
  /** Words in its name say that it is for measuring: valid, test, eval. */
  readonly forEvaluation: boolean;
}

const entriesOf = (folder: string): Dirent[] =>
  existsSync(folder) ? readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1)) : [];

const holdsPictures = (folder: string): boolean =>
  entriesOf(folder).some((entry) => entry.isFile() && pictures.has(extname(entry.name).toLowerCase()));

/** How an entry of a folder can be read for a kind of model; undefined when it is no data. */
const dataText = (kind: ModelKind, folder: string, entry: Dirent, shown: string): string | undefined => {
  const ending = extname(entry.name).toLowerCase();
  if (kind === 'language') {
    if (entry.isFile() && ending === '.txt' && !['vocab.txt', 'merges.txt', 'requirements.txt'].includes(entry.name))
      return `text:${shown},window=512`;
    return entry.isFile() && ending === '.u16' ? `tokens:${shown},window=512` : undefined;
  }
  if (entry.isFile() && ending === '.npz') return `arrays:${shown}`;
  if (kind !== 'vision' || !entry.isDirectory() || !holdsPictures(join(folder, entry.name))) return undefined;
  const labels = join(folder, entry.name, 'labels.csv');
  return existsSync(labels) ? `images:${shown},labels=${shown}/labels.csv` : `images:${shown}`;
};

/** Data beside a model and in the working directory that suit it, in order of their names. */
export const lookAround = (kind: ModelKind, model: string, directory: string): FoundData[] => {
  const beside = extname(model) === '.onnx' ? dirname(model) : model;
  const folders = [...new Set([beside, directory])];
  return folders.flatMap((folder) =>
    entriesOf(folder).flatMap((entry): FoundData[] => {
      const shown = relative(directory, join(folder, entry.name)).replaceAll('\\', '/');
      const text = dataText(kind, folder, entry, shown);
      if (text === undefined) return [];
      return [{ text, forEvaluation: /valid|test|eval|dev/i.test(basename(shown)) }];
    }),
  );
};

/** The first found for each purpose; one set serves for both where there is no other. */
export const chooseData = (
  found: readonly FoundData[],
): { readonly calibration: string | undefined; readonly evaluation: string | undefined } => {
  const calibration = found.find((data) => !data.forEvaluation) ?? found[0];
  const evaluation =
    found.find((data) => data.forEvaluation) ?? found.find((data) => data !== calibration) ?? calibration;
  return { calibration: calibration?.text, evaluation: evaluation?.text };
};

/** At most `samples` of the data; all where there are fewer. undefined for data that the model cannot take. */
export const fitSamples = async (
  text: string,
  samples: number,
  model: Model,
  directory: string,
): Promise<string | undefined> => {
  try {
    const context = datasetContext(model, { baseDirectory: directory, seed: 0 });
    const dataset = await openDataset(
      readDatasetText(text, (path) => path),
      context,
    );
    return dataset.length > samples ? `${text},samples=${samples}` : text;
  } catch (error) {
    if (error instanceof CompressError || error instanceof CompressErrors) return undefined;
    throw error;
  }
};
