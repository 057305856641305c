import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { AutoModelForCausalLM, AutoTokenizer, env, pipeline } from '@huggingface/transformers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../src/artifact/formats/huggingface/open.ts';
import { writeOnnx } from '../../src/artifact/formats/onnx/write.ts';
import { openSafetensors } from '../../src/artifact/formats/safetensors/open.ts';
import { arrayOfNumbers, floatsOfArray } from '../../src/execution/arrays.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { withSession } from '../../src/execution/session.ts';
import type { BuildOptions } from '../../src/families/index.ts';
import { buildProgram } from '../../src/families/index.ts';
import { readFloats } from '../../src/ir/read.ts';
import { sharedData } from '../shared.ts';

env.allowRemoteModels = false;

const workspace = mkdtempSync(join(tmpdir(), 'modelpress-transformersjs-'));
afterAll(() => {
  rmSync(workspace, { recursive: true });
});

/** Exports a checkpoint into a folder that the client can load: the model under onnx/, the other files beside it. */
const exportFolder = async (checkpoint: string, name: string, options: Partial<BuildOptions>): Promise<string> => {
  const folder = join(workspace, name);
  mkdirSync(join(folder, 'onnx'), { recursive: true });
  const { config, tensors } = openCheckpoint(checkpoint);
  await writeOnnx(buildProgram(config, tensors, options), join(folder, 'onnx/model.onnx'));
  for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json'])
    if (existsSync(join(checkpoint, file))) copyFileSync(join(checkpoint, file), join(folder, file));
  if (!existsSync(join(folder, 'tokenizer_config.json')))
    writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify({ tokenizer_class: 'PreTrainedTokenizer' }));
  return folder;
};

/** The client finds a model by its folder's name below `env.localModelPath`. */
const nameOf = (folder: string): string => {
  env.localModelPath = `${dirname(folder)}/`;
  return basename(folder);
};

const stories = sharedData('llm-stories260k');

describe.skipIf(!stories)('transformers.js generates with an exported decoder (needs ../shared/data)', () => {
  const newTokens = 48;
  let greedy: readonly number[] = [];

  const promptOf = async (folder: string) => {
    const tokenizer = await AutoTokenizer.from_pretrained(nameOf(folder));
    return { tokenizer, inputs: tokenizer('Once upon a time') };
  };

  beforeAll(async () => {
    const folder = await exportFolder(stories!, 'stories-tokenizer', {});
    const { inputs } = await promptOf(folder);
    const { config, tensors } = openCheckpoint(stories!);
    greedy = await withSession(onnxruntimeEngine, buildProgram(config, tensors), {}, async (session) => {
      const ids = Array.from(inputs.input_ids.data as BigInt64Array, Number);
      for (let count = 0; count < newTokens; count++) {
        const results = await session.run(new Map([['input_ids', arrayOfNumbers('int64', [1, ids.length], ids)]]));
        const logits = floatsOfArray(results.get('logits')!).subarray(-512);
        ids.push(logits.indexOf(Math.max(...logits)));
      }
      return ids;
    });
  });

  test.each([
    ['in standard operators', {}],
    ['in fused operators', { fused: true }],
  ])('%s: the same tokens as choosing the likeliest of the scoring logits', async (title, options) => {
    const folder = await exportFolder(stories!, title.replaceAll(' ', '-'), { layout: 'generation', ...options });
    const { tokenizer, inputs } = await promptOf(folder);
    const model = await AutoModelForCausalLM.from_pretrained(nameOf(folder), { dtype: 'fp32' });
    const output = await model.generate({
      ...inputs,
      do_sample: false,
      max_new_tokens: newTokens,
      eos_token_id: -1,
    } as Parameters<typeof model.generate>[0]);
    const ids = Array.from((output as { data: BigInt64Array }).data, Number);
    expect(ids).toEqual(greedy);
    expect(tokenizer.decode(ids, { skip_special_tokens: true })).toMatch(/^Once upon a time, there was a/);
    await model.dispose();
  });
});

const minilm = process.env.MODELPRESS_MINILM;

describe.skipIf(!minilm || !existsSync(minilm))(
  'transformers.js embeds with an exported encoder (needs all-MiniLM-L6-v2 in the folder MODELPRESS_MINILM)',
  () => {
    test.each([
      ['standard operators', {}],
      ['fused operators', { fused: true }],
    ])('in %s: the embeddings of PyTorch', async (title, options) => {
      const reference = openSafetensors(resolve(import.meta.dirname, '../../fixtures/reference/minilm.safetensors'));
      const sentences: string[] = JSON.parse(reference.metadata.get('sentences')!);
      const wanted = readFloats(reference.get('embeddings'));
      const folder = await exportFolder(minilm!, `minilm-${title.replaceAll(' ', '-')}`, options);
      const embed = await pipeline('feature-extraction', nameOf(folder), { dtype: 'fp32' });
      const found = (await embed(sentences, { pooling: 'mean', normalize: true })).data as Float32Array;
      expect(found.length).toBe(wanted.length);
      const difference = found.reduce(
        (largest, value, index) => Math.max(largest, Math.abs(value - wanted[index]!)),
        0,
      );
      expect(difference).toBeLessThan(1e-5);
      await embed.dispose();
    });
  },
);
