import { isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import { CompressError } from '../../errors.ts';
import { Random } from '../../random.ts';
import type { DatasetContext } from './kind.ts';

/** Keys that every kind of data with many samples has, with the names that other tools give them. */
export const selectionFields = {
  samples: z.int().min(1).optional().describe('How many samples to take; all of them by default.'),
  num_samples: z.int().min(1).optional().describe('Alias of samples.'),
  nsamples: z.int().min(1).optional().describe('Alias of samples.'),
  skip: z.int().min(0).default(0).describe('Samples to leave out at the beginning (after shuffling).'),
  shuffle: z
    .boolean()
    .default(false)
    .describe(
      'Draw samples in an order that depends on the seed and on nothing else; by default the order of the data.',
    ),
};

/** Keys of data that is cut into windows of tokens. */
export const windowFields = {
  window: z.int().min(2).optional().describe('Greatest number of tokens in a sample, special tokens included.'),
  sequence_length: z.int().min(2).optional().describe('Alias of window.'),
  seqlen: z.int().min(2).optional().describe('Alias of window.'),
  stride: z
    .int()
    .min(1)
    .optional()
    .describe('New tokens per window, for windows that overlap; only new tokens are scored. Default: no overlap.'),
};

/**
 * The one value among a key and its aliases; naming two of them is an issue, for nobody can tell which one was meant.
 */
export const pickAlias = <T extends object, K extends keyof T & string>(
  input: T,
  keys: readonly K[],
  issues: z.core.$RefinementCtx,
): Exclude<T[K], undefined> | undefined => {
  const given = keys.filter((key) => input[key] !== undefined);
  const [first, second] = given;
  if (first !== undefined && second !== undefined)
    issues.addIssue({
      code: 'custom',
      message: `"${second}" and "${first}" mean the same: keep one of them`,
      path: [second],
    });
  return first === undefined ? undefined : (input[first] as Exclude<T[K], undefined>);
};

/** Which samples of a source are taken. */
export interface Selection {
  /** undefined: all. */
  readonly samples: number | undefined;
  readonly skip: number;
  readonly shuffle: boolean;
}

interface SelectionInput {
  readonly samples?: number | undefined;
  readonly num_samples?: number | undefined;
  readonly nsamples?: number | undefined;
  readonly skip: number;
  readonly shuffle: boolean;
}

/** The selection among the fields of `selectionFields`. */
export const selectionOf = (input: SelectionInput, issues: z.core.$RefinementCtx): Selection => ({
  samples: pickAlias(input, ['samples', 'num_samples', 'nsamples'], issues),
  skip: input.skip,
  shuffle: input.shuffle,
});

/**
 * Indices of the chosen samples among `available`.
 * @param unit what is counted, for messages: 'windows', 'images'.
 * @throws CompressError 'data' when there are fewer than asked for, or none.
 */
export const chooseSamples = (
  available: number,
  selection: Selection,
  source: { readonly file: string; readonly unit: string; readonly seed: number },
): Int32Array => {
  const order = selection.shuffle
    ? new Random(source.seed, 'samples').permutation(available)
    : Int32Array.from({ length: available }, (_, index) => index);
  const wanted = selection.samples ?? Math.max(1, available - selection.skip);
  if (selection.skip + wanted > available)
    throw new CompressError({
      code: 'data',
      message:
        available === 0
          ? `there are no ${source.unit} in it`
          : `${selection.skip + wanted} ${source.unit} are needed (skip ${selection.skip}, samples ${wanted}), but there are only ${available}`,
      where: { file: source.file },
      hint:
        available === 0
          ? 'Check the path and the options that say how it is split.'
          : `Give more data, set samples to ${Math.max(1, available - selection.skip)} or less, or use shorter windows.`,
    });
  return order.slice(selection.skip, selection.skip + wanted);
};

/** A path of a specification, made absolute. */
export const resolvePath = (path: string, context: DatasetContext): string =>
  isAbsolute(path) ? path : resolve(context.baseDirectory, path);
