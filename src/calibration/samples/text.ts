import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { z } from 'zod';
import { CompressError } from '../../errors.ts';
import { pickAlias, resolvePath, type Selection, selectionFields, selectionOf, windowFields } from './fields.ts';
import { checkPath, fingerprintOf } from './fingerprint.ts';
import type { DatasetContext, DatasetKind } from './kind.ts';
import { tokenDataset } from './token-dataset.ts';
import { openTokenizer, type TextTokenizer } from './tokenizer.ts';
import { placeWindows, type WindowOptions } from './windows.ts';

interface TextOptions {
  readonly text: readonly string[];
  readonly field: string | undefined;
  readonly split: string | undefined;
  readonly tokenizer: string | undefined;
  readonly bos: boolean | number | undefined;
  readonly window: number;
  readonly stride: number | undefined;
  readonly selection: Selection;
}

const spec = z
  .strictObject({
    text: z.union([z.string(), z.array(z.string()).min(1)]).describe('Text file or files (UTF-8), or JSON lines.'),
    field: z.string().optional().describe('Key that holds the text in each line of a .jsonl file; default text.'),
    split: z
      .string()
      .min(1)
      .optional()
      .describe(
        'How a file is split into documents that no window crosses: "lines", or the text that separates them (\\n stands for a line end). By default a file is one running text; JSON lines are a document each.',
      ),
    tokenizer: z.string().optional().describe("tokenizer.json to use; by default the model's own."),
    bos: z
      .union([z.boolean(), z.int().min(0)])
      .optional()
      .describe(
        'Special tokens around every window: by default what tokenizer.json adds. true: the begin-of-sequence token, false: none, a number: that token id in front.',
      ),
    ...windowFields,
    ...selectionFields,
  })
  .transform(
    (input, issues): TextOptions => ({
      text: typeof input.text === 'string' ? [input.text] : input.text,
      field: input.field,
      split: input.split,
      tokenizer: input.tokenizer,
      bos: input.bos,
      window: pickAlias(input, ['window', 'sequence_length', 'seqlen'], issues) ?? 512,
      stride: input.stride,
      selection: selectionOf(input, issues),
    }),
  );

/** The text in one line of a JSON-lines file. @throws CompressError 'malformed' naming file and line. */
const textOfRecord = (line: string, field: string, file: string, number: number): string => {
  const wrong = (message: string): CompressError =>
    new CompressError({
      code: 'malformed',
      message,
      where: { file, line: number },
      hint: 'Name the key that holds the text with field.',
    });
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch (cause) {
    throw wrong(`this line is no JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  if (typeof record === 'string') return record;
  const text = record && typeof record === 'object' ? (record as Record<string, unknown>)[field] : undefined;
  if (typeof text === 'string') return text;
  const keys = record && typeof record === 'object' ? Object.keys(record).join(', ') : typeof record;
  throw wrong(`no text under ${JSON.stringify(field)} (found ${keys})`);
};

const lineEnd = /\r\n|\n|\r/;

/** The documents of a file's text, blank ones left out. */
const splitText = (content: string, file: string, options: Pick<TextOptions, 'field' | 'split'>): string[] => {
  const kept = (documents: string[]): string[] => documents.filter((document) => document.trim() !== '');
  if (['.jsonl', '.ndjson'].includes(extname(file).toLowerCase()))
    return kept(
      content
        .split(lineEnd)
        .map((line, index) => (line.trim() === '' ? '' : textOfRecord(line, options.field ?? 'text', file, index + 1))),
    );
  if (options.split === undefined) return kept([content]);
  if (options.split === 'lines') return kept(content.split(lineEnd));
  return kept(content.split(options.split.replaceAll('\\n', '\n')));
};

const decodeText = async (file: string): Promise<string> => {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file));
  } catch (cause) {
    throw new CompressError({
      code: 'data',
      message: `the text cannot be read as UTF-8: ${cause instanceof Error ? cause.message : String(cause)}`,
      where: { file },
      cause,
    });
  }
};

/** Special tokens in front of and behind every window. */
const specialsOf = (
  options: TextOptions,
  tokenizer: TextTokenizer,
  tokenizerPath: string,
): { prefix: readonly number[]; suffix: readonly number[] } => {
  const { bos } = options;
  if (bos === undefined) return tokenizer;
  if (typeof bos === 'number') return { prefix: [bos], suffix: [] };
  if (!bos) return { prefix: [], suffix: [] };
  const id = tokenizer.bos ?? tokenizer.prefix[0];
  if (id !== undefined) return { prefix: [id], suffix: [] };
  throw new CompressError({
    code: 'data',
    message: 'the tokenizer names no begin-of-sequence token',
    where: { file: tokenizerPath },
    hint: 'Give its id (bos: 1), or leave bos out.',
  });
};

const tokenizerPathOf = (options: TextOptions, context: DatasetContext): string => {
  const path = options.tokenizer ? resolvePath(options.tokenizer, context) : context.tokenizerPath;
  if (path) return path;
  throw new CompressError({
    code: 'data',
    message: 'text needs a tokenizer, and the model has none',
    where: { key: 'tokenizer' },
    hint: 'Name a tokenizer.json with tokenizer, or give token ids (tokens: stream.u16).',
  });
};

/** Tokens at the end of a cut text that may come out otherwise than in the whole text. */
const cutMargin = 256;

/**
 * At least the first `needed` token ids of a text, or all of them. Only as much of a long text is tokenised as that
 * takes; the last tokens before the cut are left out, since what follows may join them.
 */
const encodeBeginning = (tokenizer: TextTokenizer, document: string, needed: number): Int32Array => {
  for (let length = 8 * (needed + cutMargin); length < document.length; length *= 2) {
    const ids = tokenizer.encode(document.slice(0, length));
    if (ids.length >= needed + cutMargin) return ids.subarray(0, ids.length - cutMargin);
  }
  return tokenizer.encode(document);
};

/** Token ids of the documents of all files; without shuffling only as many as the samples are cut from. */
const tokenise = async (
  files: readonly string[],
  options: TextOptions,
  tokenizer: TextTokenizer,
  windows: WindowOptions,
): Promise<Int32Array[]> => {
  const { samples, skip, shuffle } = options.selection;
  const wanted = samples === undefined || shuffle ? Number.POSITIVE_INFINITY : skip + samples;
  const documents: Int32Array[] = [];
  let placed = 0;
  for (const file of files)
    for (const document of splitText(await decodeText(file), file, options)) {
      if (placed >= wanted) return documents;
      const ids = encodeBeginning(tokenizer, document, (wanted - placed) * options.window);
      documents.push(ids);
      placed += placeWindows([ids.length], windows).length;
    }
  return documents;
};

/** Text files, tokenised and cut into windows. */
export const text: DatasetKind<TextOptions> = {
  name: 'text',
  summary: 'text files or JSON lines, tokenised by the checkpoint’s tokenizer.json and cut into windows',
  spec,
  open: async (options, context) => {
    const files = options.text.map((path) => resolvePath(path, context));
    for (const file of files) await checkPath(file, 'file');
    const tokenizerPath = tokenizerPathOf(options, context);
    await checkPath(tokenizerPath, 'file');
    const tokenizer = await openTokenizer(tokenizerPath);
    const { field, split, bos, window, stride, selection } = options;
    const windows = { window, stride, ...specialsOf(options, tokenizer, tokenizerPath) };
    const documents = await tokenise(files, options, tokenizer, windows);
    const facts = { field, split, bos, window, stride, selection, seed: context.seed };
    return tokenDataset({
      description: `text:${options.text.join(',')}`,
      fingerprint: await fingerprintOf('text', facts, [...files, tokenizerPath]),
      documents,
      windows,
      selection,
      file: files.join(', '),
      seed: context.seed,
    });
  },
};
