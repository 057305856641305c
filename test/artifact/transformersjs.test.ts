import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env, pipeline } from '@huggingface/transformers';
import { afterAll, describe, expect, test } from 'vitest';
import { transformersJsFormat } from '../../src/artifact/formats/transformersjs/card.ts';
import { precisionOf } from '../../src/artifact/formats/transformersjs/precision.ts';
import { makeTokenizerConfig } from '../../src/artifact/formats/transformersjs/tokenizer-config.ts';
import { openModel } from '../../src/artifact/open.ts';
import { ArtifactWriter } from '../../src/artifact/write.ts';
import type { CompressError } from '../../src/errors.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import type { Model } from '../../src/ir/model.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { memoryStore } from '../../src/stages/memory-store.ts';
import { quantizeStage } from '../../src/stages/quantize/index.ts';
import { sharedData } from '../shared.ts';

const folder = mkdtempSync(join(tmpdir(), 'modelpress-tjs-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const quantized = async (model: Model, options: unknown): Promise<Model> => {
  const result = await quantizeStage.run(model, quantizeStage.options.parse(options), {
    calibration: undefined,
    engine: onnxruntimeEngine,
    maxMemoryBytes: 2 ** 30,
    threads: 1,
    seed: 0,
    checkpoints: { get: () => undefined, put: () => {} },
    shared: memoryStore(),
    scratch: { directory: folder },
    emit: () => {},
    signal: new AbortController().signal,
  });
  return result.model;
};

const write = async (model: Model, name: string, options: unknown = {}): Promise<string> => {
  const path = join(folder, name);
  const writer = await ArtifactWriter.create(path, { inputs: [], formatCount: 1 });
  const card = transformersJsFormat;
  await writer.writeFormat(card, card.options.parse(options), model);
  await writer.commit({ version: '0', inputs: [], metrics: [], findings: [], family: model.family, recipe: undefined });
  return path;
};

const generate = async (path: string, prompt: string, dtype?: 'fp32' | 'q4'): Promise<string> => {
  env.allowRemoteModels = false;
  env.localModelPath = '';
  const generator = await pipeline('text-generation', path, dtype ? { dtype } : {});
  const output = await generator(prompt, { max_new_tokens: 24, do_sample: false });
  await generator.dispose();
  return (output as { generated_text: string }[])[0]!.generated_text;
};

const stories = sharedData('llm-stories260k');

describe.skipIf(!stories)('transformers.js (needs ../shared/data/llm-stories260k)', () => {
  test('generates text from the folder in fp32, and nearly the same from 8 bits', async () => {
    const model = await openModel(stories!, { layout: 'generation' });
    const plain = await write(model, 'fp32');
    const text = await generate(plain, 'Once upon a time');
    expect(text).toMatch(/^Once upon a time, there was a little girl named Lily/);
    const eight = await write(await quantized(model, { method: 'rtn', weights: { bits: 8 } }), 'q8');
    expect(await generate(eight, 'Once upon a time')).toBe(text);
    expect(JSON.parse(readFileSync(join(eight, 'config.json'), 'utf8'))['transformers.js_config']).toEqual({
      dtype: 'q8',
    });
  });

  test('generates text from 4 bits, embedding and head sharing their integers, and from weights in a file of their own', async () => {
    const model = await quantized(await openModel(stories!, { layout: 'generation' }), {
      method: 'rtn',
      weights: { bits: 4, group_size: 32 },
    });
    const inline = await write(model, 'q4');
    const text = await generate(inline, 'Once upon a time', 'q4');
    expect(text).toMatch(/^Once upon a time, there was a little/);
    expect(readFileSync(join(inline, 'onnx/model_q4.onnx')).length).toBeLessThan(260_000);
    const apart = await write(model, 'q4-data', { external_data: 'always' });
    expect(readFileSync(join(apart, 'onnx/model_q4.onnx_data')).length).toBeGreaterThan(100_000);
    expect(await generate(apart, 'Once upon a time')).toBe(text);
  });

  test('a graph that only scores is refused with the way out', async () => {
    const model = await openModel(stories!, { layout: 'scoring' });
    await expect(write(model, 'scoring')).rejects.toThrow(
      expect.objectContaining<Partial<CompressError>>({
        code: 'unsupported',
        hint: expect.stringMatching('layout: generation'),
      }),
    );
  });
});

describe('the folder for transformers.js', () => {
  const modelOf = (text: string, config: Model['config']): Model => ({
    program: parseProgram(`program opset=21 graph m(x: float32[2, 64]) -> (y) { ${text} y = MatMul(x, w) }`),
    family: undefined,
    config,
    companions: [],
    origin: 'model.onnx',
  });

  test('needs a config.json', async () => {
    const model = modelOf('w: float32[64, 64] = ones', undefined);
    await expect(write(model, 'without')).rejects.toThrow(/config\.json/);
  });

  test.each([
    ['w: float32[64, 64] = ones', 'fp32'],
    ['w: float16[64, 64] = ones', 'fp16'],
    ['w: float32[64, 64] = packed(bits=4, layout="rows-last")', 'q4'],
    ['w: float32[64, 64] = packed(bits=3, layout="rows-last")', 'q4'],
    ['w: float16[64, 64] = packed(bits=4, layout="rows-last")', 'q4f16'],
    ['w: float32[64, 64] = packed(bits=2, layout="rows-last")', 'q2'],
    ['w: float32[64, 64] = packed(bits=8, layout="rows-last")', 'q8'],
    ['q: int8[64, 64] = ones s: float32 = ones w = DequantizeLinear(q, s)', 'q8'],
  ])('%s is called %s', (text, name) => {
    expect(precisionOf(modelOf(text, {}).program)).toBe(name);
  });

  test('special tokens are looked up by their numbers', () => {
    const config = { bos_token_id: 1, eos_token_id: [2, 3], max_position_embeddings: 64 };
    const made = {
      tokenizer_class: 'PreTrainedTokenizerFast',
      bos_token: '<s>',
      eos_token: '</s>',
      model_max_length: 64,
    };
    const vocab = { '<unk>': 0, '<s>': 1, '</s>': 2 };
    expect(makeTokenizerConfig({ model: { vocab } }, config)).toMatchObject(made);
    const entries = Object.keys(vocab).map((text) => [text, 0]);
    expect(makeTokenizerConfig({ model: { vocab: entries } }, config)).toMatchObject(made);
    const added = [{ id: 1, content: '<s>' }];
    expect(makeTokenizerConfig({ added_tokens: added }, config)).toMatchObject({ bos_token: '<s>' });
  });
});
