import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { lowerToMatMulNBits } from '../src/artifact/formats/onnx/lower/matmulnbits.ts';
import { encodeProgram } from '../src/artifact/formats/onnx/write.ts';
import { openModel } from '../src/artifact/open.ts';
import { openDataset } from '../src/calibration/samples/table.ts';
import { inputSignature } from '../src/execution/signature.ts';
import { cloneProgram } from '../src/ir/clone.ts';
import type { Program } from '../src/ir/graph.ts';
import { measure, runStage } from './measured.ts';

/**
 * Perplexity and divergence of the shared language models with rounded weights, under the protocol of the design notes:
 * products of the blocks only (embedding and head stay in float32), 64 windows of the training sample drawn by a seed,
 * the validation stories (windows for the English model) scored token by token.
 *
 *   npx tsx bench/bars.ts [--data ../shared/data] [--model stories260k] [--method gptq,auto] [--setting W3]
 *                         [--seeds 3] [--options '{"damp":0.02}']
 */

interface Subject {
  readonly name: string;
  readonly folder: string;
  readonly window: number;
  /** Token files for calibration and for evaluation. */
  readonly training: string;
  readonly evaluation: string;
  /** How the evaluation is cut: at the token that begins a story, or into so many windows. */
  readonly cut: { readonly split: number } | { readonly samples: number };
  readonly bos: number | undefined;
}

const stories = { training: 'eval/tinystories-train-sample.u16', evaluation: 'eval/tinystories-valid-19stories.u16' };

const subjects: readonly Subject[] = [
  { name: 'stories260k', folder: 'llm-stories260k', window: 512, ...stories, cut: { split: 1 }, bos: 1 },
  { name: 'babyllama', folder: 'llm-babyllama-tok105', window: 256, ...stories, cut: { split: 1 }, bos: 1 },
  {
    name: 'english',
    folder: 'llm-lab-english',
    window: 256,
    training: 'eval/english-train-256x256.u16',
    evaluation: 'eval/english-valid-128x256.u16',
    cut: { samples: 128 },
    bos: undefined,
  },
];

const settings = [
  { name: 'W8 g32', weights: { bits: 8, group_size: 32 } },
  { name: 'W4 row', weights: { bits: 4, group_size: 'row' } },
  { name: 'W4 g32', weights: { bits: 4, group_size: 32 } },
  { name: 'W3 row', weights: { bits: 3, group_size: 'row' } },
  { name: 'W3 g32', weights: { bits: 3, group_size: 32 } },
  { name: 'W2 g32', weights: { bits: 2, group_size: 32 } },
] as const;

const { values: given } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    model: { type: 'string', default: 'stories260k,babyllama' },
    method: { type: 'string', default: 'rtn,gptq,auto' },
    setting: { type: 'string', default: '' },
    seeds: { type: 'string', default: '1' },
    options: { type: 'string', default: '{}' },
  },
});

/** Bytes of the model as MatMulNBits. */
const bytesOf = (program: Program): number => {
  const copy = cloneProgram(program);
  lowerToMatMulNBits(copy, { accuracyLevel: 0 });
  return encodeProgram(copy).byteLength;
};

const mean = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;

const print = (cells: readonly string[]): void =>
  console.log(cells.map((cell, index) => (index < 3 ? cell.padEnd(13) : cell.padStart(10))).join(' '));

/** More options of the stage, and of `weights` in it, for every row. */
const extra = JSON.parse(given.options) as Record<string, unknown> & { weights?: Record<string, unknown> };
const wantedModels = given.model.split(',');
const metrics = ['perplexity', 'kl'];

print(['model', 'method', 'setting', 'perplexity', 'KL', 'KL spread', 'bytes', 'seconds']);
for (const { name, folder, window, training, evaluation, cut, bos } of subjects) {
  if (!wantedModels.includes(name)) continue;
  const directory = resolve(given.data, folder);
  const model = await openModel(directory);
  const context = { baseDirectory: directory, modelInputs: inputSignature(model.program), seed: 0 };
  const start = bos === undefined ? {} : { bos };
  const scored = await openDataset({ tokens: join(directory, evaluation), ...start, ...cut, window }, context);
  const plain = await measure(model.program, model.program, scored, metrics);
  print([name, 'float32', '', plain.perplexity!.toFixed(4), '0', '', String(encodeProgram(model.program).byteLength)]);
  for (const method of given.method.split(','))
    for (const { name: setting, weights } of settings) {
      if (!setting.includes(given.setting)) continue;
      const rows: { values: Readonly<Record<string, number>>; bytes: number; seconds: number }[] = [];
      for (let seed = 0; seed < (method === 'rtn' ? 1 : Number(given.seeds)); seed++) {
        const drawn = { tokens: join(directory, training), ...start, window, samples: 64, shuffle: true };
        const calibration = await openDataset(drawn, { ...context, seed });
        const request = {
          method,
          ignore: ['op:Gather', 'role:head'],
          ...extra,
          weights: { ...weights, ...extra.weights },
        };
        const begin = performance.now();
        const { program } = await runStage(model.program, request, calibration);
        const seconds = (performance.now() - begin) / 1000;
        const values = await measure(program, model.program, scored, metrics);
        rows.push({ values, bytes: bytesOf(program), seconds });
      }
      const divergences = rows.map(({ values }) => values.kl!);
      print([
        name,
        method,
        setting,
        mean(rows.map(({ values }) => values.perplexity!)).toFixed(4),
        mean(divergences).toFixed(5),
        (Math.max(...divergences) - Math.min(...divergences)).toFixed(5),
        String(rows[0]?.bytes ?? 0),
        mean(rows.map(({ seconds }) => seconds)).toFixed(1),
      ]);
    }
}
