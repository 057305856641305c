import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { openModel } from '../src/artifact/open.ts';
import type { Dataset } from '../src/calibration/dataset.ts';
import { openDataset } from '../src/calibration/samples/table.ts';
import { inputSignature } from '../src/execution/signature.ts';
import { measureSetting, printHead, printRow } from './measured.ts';

/**
 * Sentence embeddings of an encoder (MiniLM) with 8-bit weights and activations: cosine to those of the original and the
 * share of sentences that keep their nearest neighbour. Sentences of WikiText-2: validation ones calibrate, test ones
 * measure.
 *
 *   npx tsx bench/sentences.ts --model FOLDER [--data ../shared/data] [--setting dynamic] [--samples 500]
 */
const { values: given } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string', default: '../shared/data' },
    setting: { type: 'string', default: '' },
    samples: { type: 'string', default: '500' },
    calibration: { type: 'string', default: '256' },
  },
});

const settings = [
  { name: 'dynamic', options: { activations: 'dynamic' } },
  { name: 'dynamic gptq', options: { activations: 'dynamic', method: 'gptq' } },
  { name: 'dynamic unsmoothed', options: { activations: { mode: 'dynamic', smooth: 'none' } } },
  {
    name: 'dynamic, one scale a tensor',
    options: { activations: { mode: 'dynamic', per_token: false, smooth: 'none' } },
  },
  { name: 'static', options: { activations: 'static' } },
  { name: 'static mse', options: { activations: { ranges: 'mse' } } },
  { name: 'static mse gptq', options: { activations: { ranges: 'mse' }, method: 'gptq' } },
  { name: 'static unsmoothed', options: { activations: { smooth: 'none' } } },
] as const;

/** Sentences of 31 to 299 characters from the paragraphs of a WikiText file. */
const sentencesOf = (file: string, count: number): string[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.length > 40 && !line.startsWith('='))
    .flatMap((line) => line.split(' . '))
    .filter((sentence) => sentence.length > 30 && sentence.length < 300)
    .slice(0, count);

const folder = resolve(given.model ?? 'minilm');
const model = await openModel(folder);
const scratch = mkdtempSync(join(tmpdir(), 'modelpress-sentences-'));
const context = {
  baseDirectory: scratch,
  modelInputs: inputSignature(model.program),
  seed: 0,
  tokenizerPath: join(folder, 'tokenizer.json'),
};
const open = (part: string, count: string): Promise<Dataset> => {
  const text = join(scratch, `${part}.txt`);
  const source = join(resolve(given.data), 'text-corpora', `wikitext-2-${part}.txt`);
  writeFileSync(text, sentencesOf(source, Number(count)).join('\n'));
  return openDataset({ text, split: 'lines', window: 128 }, context);
};

try {
  const calibration = await open('valid', given.calibration);
  const evaluation = await open('test', given.samples);
  const metrics = ['cosine', 'neighbours'];
  printHead(`${evaluation.length} sentences`, metrics);
  for (const { name, options } of settings)
    if (name.includes(given.setting))
      printRow(
        await measureSetting({ program: model.program, calibration, evaluation, metrics }, name, options),
        metrics,
      );
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
