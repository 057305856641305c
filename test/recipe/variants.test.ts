import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env, pipeline } from '@huggingface/transformers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadRecipe } from '../../src/recipe/load.ts';
import { runRecipe } from '../../src/recipe/run.ts';
import { builtRecipe } from '../../src/recipe/source.ts';
import { sharedData } from '../shared.ts';

const stories = sharedData('llm-stories260k');
const root = mkdtempSync(join(tmpdir(), 'modelpress-variants-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const dtypes = ['fp32', 'fp16', 'q8', 'int8', 'uint8', 'q4', 'q4f16', 'bnb4', 'q2'] as const;

describe.skipIf(!stories)('all precisions in one run (needs ../shared/data/llm-stories260k)', () => {
  const output = join(root, 'all');

  beforeAll(async () => {
    const recipe = loadRecipe(
      builtRecipe({
        model: stories,
        output,
        stages: [{ quantize: { method: 'rtn', weights: { bits: 4, group_size: 32 } } }],
        write: [{ transformersjs: { dtypes, compact: true, external_data: 'always', chunk_size: 200_000 } }],
      }),
      root,
    );
    await runRecipe(recipe);
  }, 120_000);

  const generate = async (dtype: (typeof dtypes)[number] | undefined): Promise<string> => {
    env.allowRemoteModels = false;
    env.localModelPath = '';
    const options = dtype === undefined ? {} : { dtype };
    const generator = await pipeline('text-generation', output, options as { dtype?: 'fp32' });
    try {
      const made = await generator('Once upon a time', { max_new_tokens: 12, do_sample: false });
      return (made as { generated_text: string }[])[0]!.generated_text;
    } finally {
      await generator.dispose();
    }
  };

  test.each(dtypes.filter((dtype) => dtype !== 'q2'))('transformers.js tells a story in %s', async (dtype) => {
    expect(await generate(dtype)).toMatch(/^Once upon a time, there was a little/);
  });

  test('two bits speak, and the folder without a choice is what the stages made', async () => {
    expect((await generate('q2')).length).toBeGreaterThan('Once upon a time'.length);
    expect(await generate(undefined)).toBe(await generate('q4'));
  });

  test('data files are numbered, none is larger than asked for, and config.json counts them', () => {
    const names = readdirSync(join(output, 'onnx'));
    const config = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8'));
    const counted = config['transformers.js_config'];
    expect(counted.dtype).toBe('q4');
    for (const [file, count] of Object.entries<number>(counted.use_external_data_format)) {
      const chunks = names.filter((name) => name.startsWith(`${file}_data`)).sort();
      expect(chunks).toEqual(
        [`${file}_data`, ...Array.from({ length: count - 1 }, (_, index) => `${file}_data_${index + 1}`)].sort(),
      );
      for (const chunk of chunks) expect(readFileSync(join(output, 'onnx', chunk)).length).toBeLessThanOrEqual(200_000);
    }
    expect(counted.use_external_data_format['model.onnx']).toBe(6);
  });
});
