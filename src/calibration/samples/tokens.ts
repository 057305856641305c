import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { z } from 'zod';
import { CompressError } from '../../errors.ts';
import { numbersOfArray } from '../../execution/arrays.ts';
import { isFloat } from '../../ir/data-type.ts';
import { pickAlias, resolvePath, type Selection, selectionFields, selectionOf, windowFields } from './fields.ts';
import { checkPath, fingerprintOf } from './fingerprint.ts';
import type { DatasetKind } from './kind.ts';
import { decodeNpy } from './npy.ts';
import { tokenDataset } from './token-dataset.ts';
import { splitStream } from './windows.ts';

const tokenId = z.int().min(0);

interface TokensOptions {
  readonly tokens: string;
  readonly type: 'u16' | 'u32' | 'npy' | undefined;
  readonly bos: number | undefined;
  readonly split: number | undefined;
  readonly window: number;
  readonly stride: number | undefined;
  readonly selection: Selection;
}

const spec = z
  .strictObject({
    tokens: z.string().describe('File of token ids.'),
    type: z
      .enum(['u16', 'u32', 'npy'])
      .optional()
      .describe('Little-endian unsigned integers of 16 or 32 bits, or a .npy array; by default what the ending says.'),
    bos: tokenId.optional().describe('Token id put in front of every window; none by default.'),
    split: tokenId.optional().describe('Token id that separates documents: no window crosses it. It is dropped.'),
    ...windowFields,
    ...selectionFields,
  })
  .transform(
    (input, issues): TokensOptions => ({
      tokens: input.tokens,
      type: input.type,
      bos: input.bos,
      split: input.split,
      window: pickAlias(input, ['window', 'sequence_length', 'seqlen'], issues) ?? 512,
      stride: input.stride,
      selection: selectionOf(input, issues),
    }),
  );

const endings: Readonly<Record<string, TokensOptions['type']>> = { '.u16': 'u16', '.u32': 'u32', '.npy': 'npy' };

/** Decodes a stream of token ids. @throws CompressError 'data' or 'malformed'. */
const decodeStream = (bytes: Buffer, type: NonNullable<TokensOptions['type']>, file: string): Int32Array => {
  if (type === 'npy') {
    const array = decodeNpy(bytes, file);
    if (isFloat(array.dtype))
      throw new CompressError({
        code: 'data',
        message: `token ids must be integers, found ${array.dtype}`,
        where: { file },
      });
    return Int32Array.from(numbersOfArray(array));
  }
  const width = type === 'u16' ? 2 : 4;
  if (bytes.length % width !== 0)
    throw new CompressError({
      code: 'malformed',
      message: `${bytes.length} bytes are no whole number of ${8 * width}-bit token ids`,
      where: { file },
    });
  return Int32Array.from({ length: bytes.length / width }, (_, index) =>
    width === 2 ? bytes.readUInt16LE(2 * index) : bytes.readUInt32LE(4 * index) | 0,
  );
};

/** Files of token ids, cut into windows. */
export const tokens: DatasetKind<TokensOptions> = {
  name: 'tokens',
  summary: 'token ids in a file (.u16, .u32, .npy), cut into windows',
  spec,
  open: async (options, context) => {
    const file = resolvePath(options.tokens, context);
    await checkPath(file, 'file');
    const type = options.type ?? endings[extname(file).toLowerCase()];
    if (!type)
      throw new CompressError({
        code: 'data',
        message: 'the ending does not tell how the token ids are stored',
        where: { file },
        hint: 'Set type to u16, u32 or npy.',
      });
    const { selection, window, stride, bos, split } = options;
    const stream = decodeStream(await readFile(file), type, file);
    return tokenDataset({
      description: `tokens:${options.tokens}`,
      fingerprint: await fingerprintOf('tokens', { type, bos, split, window, stride, selection, seed: context.seed }, [
        file,
      ]),
      documents: splitStream(stream, split),
      windows: { window, stride, prefix: bos === undefined ? [] : [bos], suffix: [] },
      selection,
      file,
      seed: context.seed,
    });
  },
};
