import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { verifyManifest } from '../../src/artifact/manifest.ts';
import { run } from '../../src/index.ts';
import { modelCard } from '../../src/report/card/model-card.ts';
import { originOf } from '../../src/report/card/source-card.ts';
import { codeBlock } from '../../src/report/markdown/summary.ts';
import { markdownTable } from '../../src/report/markdown/table.ts';
import { fixture, freshFolder, languageRecipe, writeRecipe } from '../recipe/tiny-run.ts';
import { sampleReport } from './sample.ts';

const metadataOf = (card: string): Record<string, unknown> => parse(/^---\n(.*?)\n---\n/s.exec(card)?.[1] ?? '');

const cardOf = (facts: Partial<Parameters<typeof modelCard>[2]> = {}): string => {
  const report = sampleReport();
  const [artifact] = report.artifacts;
  if (!artifact) throw new Error('the sample has no artifact');
  return modelCard(report, artifact, { origin: { languages: [] }, config: undefined, entry: 'model.onnx', ...facts });
};

describe('a model card', () => {
  test('begins with metadata of the hub: origin, licence, task, library, bits', () => {
    const card = cardOf({
      origin: { repository: 'owner/base', license: 'mit', languages: ['en'] },
      config: { architectures: ['LlamaForCausalLM'] },
    });
    expect(metadataOf(card)).toEqual({
      language: ['en'],
      license: 'mit',
      base_model: 'owner/base',
      base_model_relation: 'quantized',
      library_name: 'onnx',
      pipeline_tag: 'text-generation',
      tags: ['modelpress', 'onnx', 'quantize', 'distill', '4-bit'],
      metrics: ['perplexity'],
    });
  });

  test('claims nothing of the origin that is not known', () => {
    const metadata = metadataOf(cardOf());
    for (const key of ['base_model', 'license', 'pipeline_tag', 'language']) expect(metadata).not.toHaveProperty(key);
  });

  test('tells figures, storage, limits and the recipe', () => {
    const card = cardOf();
    expect(card).toContain('| perplexity | stories | onnx-matmulnbits | 5.6000 ±0.1 | **5.9000 ±0.1** | +5.36 % |');
    expect(card).toContain('| 4 | 32 | gptq | MatMulNBits | 9 | 36,864 |');
    expect(card).toContain('more damping');
    expect(card).toContain("create('model.onnx')");
    expect(card).toContain(sampleReport().recipeText.trimEnd());
  });
});

describe('the origin of a model', () => {
  test('is read from the card, the licence and the configuration beside it', () => {
    const folder = freshFolder();
    writeFileSync(join(folder, 'README.md'), '---\nlicense: apache-2.0\nlanguage: [en, de]\n---\n# x\n');
    expect(originOf(folder, { _name_or_path: 'owner/name' })).toEqual({
      repository: 'owner/name',
      license: 'apache-2.0',
      languages: ['en', 'de'],
    });
  });

  test('knows the text of common licences', () => {
    const folder = freshFolder();
    writeFileSync(join(folder, 'LICENSE'), 'MIT License\n\nCopyright');
    expect(originOf(folder, undefined)).toEqual({ license: 'mit', languages: [] });
  });

  test.each(['./local/folder', '/abs/path', 'gpt2', '../x/y', 7])('%j is no name on the hub', (name) => {
    expect(originOf(freshFolder(), { _name_or_path: name })).toEqual({ languages: [] });
  });

  test('a broken card is a card without metadata', () => {
    const folder = freshFolder();
    mkdirSync(join(folder, 'sub'));
    writeFileSync(join(folder, 'README.md'), '---\n: [\n---\n');
    expect(originOf(folder, undefined)).toEqual({ languages: [] });
  });
});

describe('the card of a run', () => {
  test('lies beside every artifact and in the manifest, unless it is not wanted', async () => {
    const folder = freshFolder();
    const recipe = writeRecipe(folder, languageRecipe());
    await run(recipe);
    const { manifest, problems } = await verifyManifest(join(folder, 'out'));
    expect(problems).toEqual([]);
    const cards = manifest.files.map(({ path }) => path).filter((path) => path.endsWith('README.md'));
    expect(cards).toEqual(['onnx-matmulnbits/README.md', 'onnx-qdq/README.md']);
    const card = readFileSync(join(folder, 'out', 'onnx-qdq', 'README.md'), 'utf8');
    expect(metadataOf(card)).toMatchObject({ library_name: 'onnx', tags: expect.arrayContaining(['4-bit']) });
    expect(card).not.toContain('onnx-matmulnbits |');
    const size = { model: fixture('tiny-cnn', 'model.onnx'), output: 'bare', model_card: false };
    await run(size, { directory: folder });
    expect((await verifyManifest(join(folder, 'bare'))).manifest.files.map(({ path }) => path)).not.toContain(
      'README.md',
    );
  });
});

describe('Markdown', () => {
  test('cells end no table', () => {
    expect(markdownTable([{ title: 'a|b' }], [['x\ny']])).toBe('| a\\|b |\n|---|\n| x y |');
  });

  test('code blocks end where their text ends', () => {
    expect(codeBlock('a\n```\nb', 'yaml')).toBe('````yaml\na\n```\nb\n````');
  });
});
