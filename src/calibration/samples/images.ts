import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, extname, join, relative, resolve, sep } from 'node:path';
import { z } from 'zod';
import { CompressError } from '../../errors.ts';
import { chooseSamples, resolvePath, type Selection, selectionFields, selectionOf } from './fields.ts';
import { checkPath, fingerprintOf } from './fingerprint.ts';
import type { DatasetContext, DatasetKind } from './kind.ts';
import { readPicture } from './picture.ts';
import {
  type Preprocessing,
  plainPreprocessing,
  preprocess,
  preprocessingSpec,
  readPreprocessorConfig,
} from './preprocessing.ts';

interface ImagesOptions {
  readonly images: string;
  readonly labels: string | undefined;
  readonly preprocessing: Preprocessing | string | undefined;
  readonly selection: Selection;
}

const spec = z
  .strictObject({
    images: z.string().describe('Folder of pictures, sub-folders included.'),
    labels: z
      .string()
      .optional()
      .describe(
        'Class numbers: a CSV file with the columns file and label, "names" (the number that a file name begins with) or "folders" (sub-folders in order of their names); none by default.',
      ),
    preprocessing: z
      .union([z.string().describe('A preprocessor_config.json.'), preprocessingSpec])
      .optional()
      .describe("By default the model's preprocessor_config.json, or pixels 0..255 as they are."),
    ...selectionFields,
  })
  .transform(
    (input, issues): ImagesOptions => ({
      images: input.images,
      labels: input.labels,
      preprocessing: input.preprocessing,
      selection: selectionOf(input, issues),
    }),
  );

const pictureEndings = new Set(['.jpg', '.jpeg', '.png', '.webp', '.gif', '.tif', '.tiff', '.avif', '.bmp']);

/** Picture files of a folder and its sub-folders, by path in code unit order. */
const listPictures = async (folder: string): Promise<string[]> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && pictureEndings.has(extname(entry.name).toLowerCase()))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort((a, b) => (a < b ? -1 : 1));
};

/** A picture and the class it shows. */
interface Item {
  readonly file: string;
  readonly label: number | undefined;
}

const splitCsvLine = (line: string): string[] => line.split(',').map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'));

/**
 * Pictures and labels of a CSV file, in its order. A header names the columns (file or image or path; label or class);
 * without one they are the first two. Paths are relative to the folder of pictures.
 */
const itemsOfCsv = async (csv: string, folder: string): Promise<Item[]> => {
  await checkPath(csv, 'file');
  const lines = (await readFile(csv, 'utf8')).split(/\r?\n/);
  const header = splitCsvLine(lines[0] ?? '').map((cell) => cell.toLowerCase());
  const named = (names: readonly string[]): number => header.findIndex((cell) => names.includes(cell));
  const fileColumn = named(['file', 'image', 'path', 'filename', 'name']);
  const labelColumn = named(['label', 'class', 'target', 'index']);
  const hasHeader = fileColumn >= 0 && labelColumn >= 0;
  return lines.flatMap((line, index) => {
    if (line.trim() === '' || (index === 0 && hasHeader)) return [];
    const cells = splitCsvLine(line);
    const name = cells[hasHeader ? fileColumn : 0] ?? '';
    const label = Number(cells[hasHeader ? labelColumn : 1] ?? '');
    if (name !== '' && Number.isInteger(label) && label >= 0 && cells.length > 1)
      return [{ file: resolve(folder, name), label }];
    throw new CompressError({
      code: 'malformed',
      message: `${JSON.stringify(line)} does not name a file and a class number`,
      where: { file: csv, line: index + 1 },
      hint: 'Write lines of file,label with a header, labels counted from 0.',
    });
  });
};

/** Labels of the pictures found in a folder, from their names or their folders. */
const labelItems = (files: readonly string[], folder: string, labels: string | undefined): Item[] => {
  if (labels === undefined) return files.map((file) => ({ file, label: undefined }));
  if (labels === 'folders') {
    const classOf = (file: string): string => relative(folder, dirname(file)).split(sep)[0] ?? '';
    const classes = [...new Set(files.map(classOf))].sort((a, b) => (a < b ? -1 : 1));
    return files.map((file) => ({ file, label: classes.indexOf(classOf(file)) }));
  }
  return files.map((file) => {
    const digits = /^\d+/.exec(basename(file));
    if (digits) return { file, label: Number(digits[0]) };
    throw new CompressError({
      code: 'data',
      message: 'the file name does not begin with a class number',
      where: { file },
      hint: 'Give the labels in a CSV file (labels: labels.csv).',
    });
  });
};

const itemsOf = async (options: ImagesOptions, folder: string, context: DatasetContext): Promise<Item[]> => {
  const { labels } = options;
  if (labels !== undefined && labels !== 'names' && labels !== 'folders')
    return itemsOfCsv(resolvePath(labels, context), folder);
  return labelItems(await listPictures(folder), folder, labels);
};

const preprocessingOf = async (options: ImagesOptions, context: DatasetContext): Promise<Preprocessing> => {
  const { preprocessing } = options;
  if (typeof preprocessing === 'object') return preprocessing;
  const path = preprocessing === undefined ? context.preprocessorPath : resolvePath(preprocessing, context);
  return path === undefined ? plainPreprocessing : readPreprocessorConfig(path);
};

/** Folders of pictures. */
export const images: DatasetKind<ImagesOptions> = {
  name: 'images',
  summary: 'folders of pictures, with labels from a CSV file, their names or their folders',
  spec,
  open: async (options, context) => {
    const folder = resolvePath(options.images, context);
    await checkPath(folder, 'folder');
    const preprocessing = await preprocessingOf(options, context);
    const items = await itemsOf(options, folder, context);
    const chosen = chooseSamples(items.length, options.selection, {
      file: folder,
      unit: 'pictures',
      seed: context.seed,
    });
    const taken = Array.from(chosen, (index) => items[index]!);
    for (const { file } of taken) await checkPath(file, 'file');
    const facts = { preprocessing, labels: taken.map((item) => item.label) };
    return {
      description: `images:${options.images}`,
      fingerprint: await fingerprintOf(
        'images',
        facts,
        taken.map((item) => item.file),
      ),
      length: taken.length,
      sample: async (index) => {
        const item = taken[index];
        if (!item) throw new RangeError(`sample ${index} of ${taken.length}`);
        const array = preprocess(await readPicture(item.file, preprocessing), preprocessing);
        return {
          kind: 'arrays',
          arrays: new Map([['', array]]),
          ...(item.label === undefined ? {} : { label: item.label }),
        };
      },
    };
  },
};
