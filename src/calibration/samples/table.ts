import { CompressError, CompressErrors } from '../../errors.ts';
import type { Dataset } from '../dataset.ts';
import { arrays } from './arrays.ts';
import { audio } from './audio.ts';
import { images } from './images.ts';
import type { DatasetContext, DatasetKind } from './kind.ts';
import { random } from './random.ts';
import { records } from './records.ts';
import { text } from './text.ts';
import { tokens } from './tokens.ts';

/** Every kind of calibration and evaluation data. */
export const datasetKinds: readonly DatasetKind[] = [text, tokens, images, records, arrays, audio, random];

/**
 * The kind of data that a specification is of: the one whose name is a key of it.
 * @throws CompressError 'recipe' that lists the kinds.
 */
const datasetKindOf = (spec: unknown): DatasetKind => {
  const keys = spec && typeof spec === 'object' ? Object.keys(spec) : [];
  const found = datasetKinds.find((kind) => keys.includes(kind.name));
  if (found) return found;
  throw new CompressError({
    code: 'recipe',
    message: `this names no kind of data (found ${keys.length > 0 ? keys.join(', ') : JSON.stringify(spec)})`,
    hint: `Write one of ${datasetKinds.map((kind) => kind.name).join(', ')} with its path, such as { text: corpus.txt }.`,
  });
};

/**
 * Opens data as a recipe specifies it, `{kind: path, option: value, …}`.
 * @param spec as written, not yet parsed.
 * @throws CompressError 'recipe' for a wrong specification; 'not-found', 'malformed' or 'data' for what it names.
 */
export const openDataset = async (spec: unknown, context: DatasetContext): Promise<Dataset> => {
  const kind = datasetKindOf(spec);
  const parsed = kind.spec.safeParse(spec);
  if (parsed.success) return kind.open(parsed.data, context);
  throw new CompressErrors(
    parsed.error.issues.map(
      (issue) =>
        new CompressError({
          code: 'recipe',
          message: `${kind.name}: ${issue.message}`,
          where: { key: issue.path.join('.') },
        }),
    ),
  );
};
