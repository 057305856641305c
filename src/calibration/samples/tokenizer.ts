import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { CompressError } from '../../errors.ts';

/** The part of the library's tokenizer that is used here (its own declarations do not resolve in ES modules). */
interface LibraryTokenizer {
  encode(text: string, options: { readonly add_special_tokens: boolean }): { readonly ids: readonly number[] };
  token_to_id(token: string): number | undefined;
}

/** A checkpoint's tokenizer, as far as calibration needs it. */
export interface TextTokenizer {
  /** Token ids without special tokens around them (special tokens written in the text count as such). */
  encode(text: string): Int32Array;
  /** Ids that the tokenizer itself puts in front of a text and behind it. */
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  /** Id of the begin-of-sequence token, where the tokenizer names one. */
  readonly bos: number | undefined;
}

const readJson = async (path: string): Promise<Record<string, unknown> | undefined> => {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    throw new CompressError({
      code: 'malformed',
      message: `this is no JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
      where: { file: path },
      cause,
    });
  }
};

/** The text of a token that tokenizer_config.json names, written as text or as a map. */
const tokenText = (value: unknown): string | undefined => {
  if (typeof value === 'string') return value;
  const content = value && typeof value === 'object' ? (value as Record<string, unknown>).content : undefined;
  return typeof content === 'string' ? content : undefined;
};

/** What surrounds the ids of a text when special tokens are asked for: found by encoding one. */
const specialsAround = (tokenizer: LibraryTokenizer): { prefix: number[]; suffix: number[] } => {
  const { ids } = tokenizer.encode('a', { add_special_tokens: false });
  const framed = tokenizer.encode('a', { add_special_tokens: true }).ids;
  for (let begin = 0; begin + ids.length <= framed.length; begin++)
    if (ids.every((id, index) => framed[begin + index] === id))
      return { prefix: framed.slice(0, begin), suffix: framed.slice(begin + ids.length) };
  return { prefix: [], suffix: [] };
};

/**
 * Opens a tokenizer.json (and tokenizer_config.json beside it).
 * @throws CompressError 'not-found', 'malformed', or 'unsupported' for a tokenizer that the library does not know.
 */
export const openTokenizer = async (path: string): Promise<TextTokenizer> => {
  const definition = await readJson(path);
  if (!definition) throw new CompressError({ code: 'not-found', message: 'no such tokenizer', where: { file: path } });
  const config = (await readJson(join(dirname(path), 'tokenizer_config.json'))) ?? {};
  try {
    const tokenizer: LibraryTokenizer = new Tokenizer(definition, config);
    const bosText = tokenText(config.bos_token);
    return {
      encode: (text) => Int32Array.from(tokenizer.encode(text, { add_special_tokens: false }).ids),
      ...specialsAround(tokenizer),
      bos: bosText === undefined ? undefined : tokenizer.token_to_id(bosText),
    };
  } catch (cause) {
    throw new CompressError({
      code: 'unsupported',
      message: `the tokenizer cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
      where: { file: path },
      hint: 'Tokenize the text elsewhere and give the ids as a token file (tokens: stream.u16).',
      cause,
    });
  }
};
