import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Dataset } from '../../../src/calibration/dataset.ts';
import { openDataset } from '../../../src/calibration/samples/table.ts';
import { sharedData } from '../../shared.ts';
import { contextWith, temporaryFolder } from './context.ts';

/** A tokenizer with one token per character of "abc ", which puts <s> (1) in front. */
const characterTokenizer = {
  version: '1.0',
  added_tokens: [
    { id: 1, content: '<s>', single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
  ],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [],
    special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
  },
  decoder: null,
  model: { type: 'BPE', unk_token: '<unk>', vocab: { '<unk>': 0, '<s>': 1, a: 2, b: 3, c: 4, ' ': 5 }, merges: [] },
};

const withTokenizer = (): string => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(characterTokenizer));
  return folder;
};

const idsOf = async (dataset: Dataset): Promise<number[][]> => {
  const ids: number[][] = [];
  for (let index = 0; index < dataset.length; index++) {
    const sample = await dataset.sample(index);
    if (sample.kind === 'tokens') ids.push([...sample.ids]);
  }
  return ids;
};

const contextOf = (folder: string) =>
  contextWith({ baseDirectory: folder, tokenizerPath: join(folder, 'tokenizer.json') });

describe('text', () => {
  test('is cut into windows that each begin with what the tokenizer puts in front', async () => {
    const folder = withTokenizer();
    writeFileSync(join(folder, 'corpus.txt'), 'abcabca');
    const dataset = await openDataset({ text: 'corpus.txt', window: 4 }, contextOf(folder));
    expect(await idsOf(dataset)).toEqual([
      [1, 2, 3, 4],
      [1, 2, 3, 4],
      [1, 2],
    ]);
  });

  test('is split into documents by lines, by a separator, or by records', async () => {
    const folder = withTokenizer();
    writeFileSync(join(folder, 'lines.txt'), 'ab\r\n\r\nc\n');
    writeFileSync(join(folder, 'marks.txt'), 'ab<end>c');
    writeFileSync(join(folder, 'records.jsonl'), '{"body":"ab"}\n{"body":"c"}\n');
    for (const spec of [
      { text: 'lines.txt', split: 'lines' },
      { text: 'marks.txt', split: '<end>' },
      { text: 'records.jsonl', field: 'body' },
    ])
      expect(await idsOf(await openDataset(spec, contextOf(folder)))).toEqual([
        [1, 2, 3],
        [1, 4],
      ]);
  });

  test('takes special tokens as told', async () => {
    const folder = withTokenizer();
    writeFileSync(join(folder, 'corpus.txt'), 'ab');
    const ids = async (bos: boolean | number) =>
      idsOf(await openDataset({ text: 'corpus.txt', bos }, contextOf(folder)));
    expect(await ids(false)).toEqual([[2, 3]]);
    expect(await ids(true)).toEqual([[1, 2, 3]]);
    expect(await ids(4)).toEqual([[4, 2, 3]]);
  });

  test('accepts the names that other tools give the options, but not two names of one', async () => {
    const folder = withTokenizer();
    writeFileSync(join(folder, 'corpus.txt'), 'abcabc');
    const named = await openDataset({ text: 'corpus.txt', sequence_length: 3, num_samples: 2 }, contextOf(folder));
    const plain = await openDataset({ text: 'corpus.txt', window: 3, samples: 2 }, contextOf(folder));
    expect(named.fingerprint).toBe(plain.fingerprint);
    await expect(openDataset({ text: 'corpus.txt', window: 3, seqlen: 3 }, contextOf(folder))).rejects.toThrow(
      /mean the same/,
    );
  });

  test('that is empty or too short is refused with the file and the numbers', async () => {
    const folder = withTokenizer();
    writeFileSync(join(folder, 'empty.txt'), ' \n');
    writeFileSync(join(folder, 'short.txt'), 'abcabc');
    const open = (spec: unknown) => openDataset(spec, contextOf(folder));
    await expect(open({ text: 'empty.txt' })).rejects.toMatchObject({
      code: 'data',
      where: { file: join(folder, 'empty.txt') },
    });
    await expect(open({ text: 'short.txt', window: 4, samples: 3 })).rejects.toMatchObject({
      code: 'data',
      message: expect.stringContaining('there are only 2'),
    });
    await expect(open({ text: 'nowhere.txt' })).rejects.toMatchObject({ code: 'not-found' });
  });

  test('without a tokenizer, or with one that cannot be read, says so', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'corpus.txt'), 'abc');
    writeFileSync(join(folder, 'tokenizer.json'), '{"model": {"type": "Secret"}}');
    await expect(openDataset({ text: 'corpus.txt' }, contextWith({ baseDirectory: folder }))).rejects.toThrow(
      /needs a tokenizer/,
    );
    await expect(openDataset({ text: 'corpus.txt' }, contextOf(folder))).rejects.toMatchObject({ code: 'unsupported' });
  });

  test('JSON lines without the field name the line', async () => {
    const folder = withTokenizer();
    writeFileSync(join(folder, 'records.jsonl'), '{"text":"a"}\n{"body":"c"}\n');
    await expect(openDataset({ text: 'records.jsonl' }, contextOf(folder))).rejects.toMatchObject({
      where: { file: join(folder, 'records.jsonl'), line: 2 },
    });
  });

  test('options that the kind does not have are refused', async () => {
    await expect(openDataset({ text: 'corpus.txt', windows: 3 }, contextWith())).rejects.toMatchObject({
      code: 'recipe',
    });
    await expect(openDataset({ speech: 'x' }, contextWith())).rejects.toThrow(/no kind of data/);
  });
});

describe.skipIf(!sharedData('llm-stories260k'))('text of the shared language models (needs ../shared/data)', () => {
  const streamOf = (model: string, name: string): number[] => {
    const bytes = readFileSync(sharedData(model, 'eval', `${name}.u16`)!);
    return Array.from({ length: bytes.length / 2 }, (_, index) => bytes.readUInt16LE(2 * index));
  };
  const contextFor = (model: string) =>
    contextWith({ baseDirectory: sharedData('text-corpora')!, tokenizerPath: sharedData(model, 'tokenizer.json')! });

  test('stories260k: a running text gives the reference stream', async () => {
    const dataset = await openDataset(
      { text: 'tinystories-train-sample.txt', bos: false, window: 1 << 20 },
      contextFor('llm-stories260k'),
    );
    const ids = await idsOf(dataset);
    expect(ids.flat()).toEqual(streamOf('llm-stories260k', 'tinystories-train-sample'));
  });

  test('stories260k: the first windows are the same whether all of the text is tokenised or only what they take', async () => {
    const spec = { text: 'tinystories-train-sample.txt', window: 64 };
    const all = await idsOf(await openDataset(spec, contextFor('llm-stories260k')));
    const first = await idsOf(await openDataset({ ...spec, samples: 20, skip: 3 }, contextFor('llm-stories260k')));
    expect(first).toEqual(all.slice(3, 23));
  });

  test.each(['llm-stories260k', 'llm-babyllama-tok105'])(
    '%s: one story a line gives the reference stream',
    async (model) => {
      const spec = { text: 'tinystories-valid-19stories.txt', split: 'lines', window: 1 << 20 };
      const ids = await idsOf(await openDataset(spec, contextFor(model)));
      expect(ids).toHaveLength(19);
      expect(ids.flat()).toEqual(streamOf(model, 'tinystories-valid-19stories'));
    },
  );
});
