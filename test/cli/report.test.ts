import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { run } from '../../src/index.ts';
import { reportJsonSchema, reportSchema } from '../../src/report/schema.ts';
import { fixture, freshFolder, languageRecipe, writeRecipe } from '../recipe/tiny-run.ts';
import { capture } from './capture.ts';

const folder = freshFolder();
const model = fixture('tiny-llama');
const data = `text:${fixture('tiny-llama', 'evaluation.txt')},window=64,samples=4`;

const quantized = (output: string, bits: number): string => `
model: ${model}
output: ${output}
data:
  evaluation: { name: held-out, text: ${fixture('tiny-llama', 'evaluation.txt')}, window: 64, samples: 4 }
stages:
  - quantize: { method: rtn, weights: { bits: ${bits}, group_size: 32 } }
write: onnx-matmulnbits
`;

beforeAll(async () => {
  for (const bits of [4, 8]) await run(writeRecipe(folder, quantized(`w${bits}`, bits), `w${bits}.yaml`));
});

describe('compress report', () => {
  test('of one run gives text, Markdown, HTML, and JSON by the published schema', async () => {
    expect((await capture(['report', 'w4'], folder)).out).toMatch(/^run +format +size +of before +bits +perplexity/);
    const markdown = (await capture(['report', 'w4', '--format', 'md'], folder)).out;
    expect(markdown).toContain('# tiny-llama: quantize');
    expect(markdown).toContain('method: rtn');
    expect((await capture(['report', 'w4', '--format', 'html'], folder)).out).toMatch(/^<!doctype html>/);
    const found = JSON.parse((await capture(['report', 'w4', '--json'], folder)).out);
    expect(reportSchema.parse(found).course?.steps.map(({ name }) => name)).toEqual([
      'measure before',
      'quantize',
      'onnx-matmulnbits',
      'measure after',
    ]);
    expect(
      z.fromJSONSchema(reportJsonSchema() as Parameters<typeof z.fromJSONSchema>[0]).safeParse(found).success,
    ).toBe(true);
  });

  test('of several runs sets them side by side, and says what was asked differently', async () => {
    const { out } = await capture(['report', 'w4', 'w8', '--output', 'both.md'], folder);
    expect(out).toBe('written both.md\n');
    const text = readFileSync(join(folder, 'both.md'), 'utf8');
    expect(text).toContain('| `stages.0.quantize.weights.bits` | 4 | 8 |');
    expect(text).not.toContain('output');
    await capture(['report', 'w4', 'w8', '--output', 'both.html'], folder);
    expect(readFileSync(join(folder, 'both.html'), 'utf8')).toContain('<title>2 runs</title>');
  });

  test('says what is wrong', async () => {
    writeFileSync(join(folder, 'old.json'), '{"outcome":"done"}');
    writeFileSync(join(folder, 'odd.json'), '{"schemaVersion":1,"outcome":"fine"}');
    const error = async (...args: string[]): Promise<string> => {
      const { exitCode, err } = await capture(['report', ...args], folder);
      expect(exitCode).toBe(2);
      return err;
    };
    expect(await error('none')).toContain('there is no such run');
    expect(await error(model)).toContain('has no report.json');
    expect(await error('old.json')).toContain('this program knows version 1');
    expect(await error('odd.json')).toContain('not a report of modelpress');
    expect(await error('w4', '--format', 'pdf')).toContain("there is no report format 'pdf'");
    expect(await error('w4', '--output', 'x.docx')).toContain('Formats: text, html, md, json');
  });
});

describe('compress compare', () => {
  test('of two runs needs no data: what they measured, contents, recipes, sites', async () => {
    const { exitCode, out } = await capture(['compare', 'w4', 'w8'], folder);
    expect(exitCode).toBe(0);
    expect(out).toMatch(/w8 +onnx-matmulnbits/);
    expect(out).toMatch(/attention +[\d.]+ kB +[\d.]+ kB/);
    expect(out).toMatch(/stages\.0\.quantize\.weights\.bits +4 +8/);
    const found = JSON.parse((await capture(['compare', 'w4', 'w8', '--json'], folder)).out);
    expect(found.sites.length).toBeGreaterThan(10);
    for (const { first, second } of found.sites) expect(second).toBeLessThan(first);
  });

  test('of two models says what changed in the graph', async () => {
    const { out } = await capture(['compare', model, 'w4', '--data', data, '--json'], folder);
    const found = JSON.parse(out);
    expect(found.metrics.b.map(({ metric }: { metric: string }) => metric)).toContain('kl');
    expect(found.contents.operators).toContainEqual({ name: 'com.microsoft.MatMulNBits', a: 0, b: expect.any(Number) });
    expect(found.contents.interfaces).toEqual({ a: [], b: [] });
    expect(found).not.toHaveProperty('recipes');
  });

  test('of a run with several formats leaves contents out', async () => {
    await run(writeRecipe(folder, languageRecipe('two'), 'two.yaml'));
    const found = JSON.parse((await capture(['compare', 'two', 'w4', '--json'], folder)).out);
    expect(found).not.toHaveProperty('contents');
    expect(found).toHaveProperty('recipes');
  });
});

describe('compress schema', () => {
  test.each(['recipe', 'manifest', 'report'])('prints that of a %s', async (name) => {
    const { exitCode, out } = await capture(['schema', name]);
    expect(exitCode).toBe(0);
    expect(JSON.parse(out).title).toBe(`modelpress ${name}`);
  });

  test('refuses what there is none of', async () => {
    expect((await capture(['schema', 'reprot'])).err).toContain("Did you mean 'report'?");
  });
});
