import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { lowerToMatMulNBits } from '../src/artifact/formats/onnx/lower/matmulnbits.ts';
import { encodeProgram } from '../src/artifact/formats/onnx/write.ts';
import { openModel } from '../src/artifact/open.ts';
import type { Dataset } from '../src/calibration/dataset.ts';
import { openDataset } from '../src/calibration/samples/table.ts';
import { onnxruntimeEngine } from '../src/execution/onnxruntime.ts';
import { inputSignature } from '../src/execution/signature.ts';
import { cloneProgram } from '../src/ir/clone.ts';
import type { Program } from '../src/ir/graph.ts';
import type { Model } from '../src/ir/model.ts';
import { evaluate } from '../src/metrics/evaluate.ts';
import { quantizeStage } from '../src/stages/quantize/index.ts';

/**
 * Perplexity and divergence of the shared language models with rounded weights, under the protocol of the design notes:
 * products of the blocks only (embedding and head stay in float32), 64 windows of the training sample drawn by a seed,
 * the 19 validation stories scored token by token.
 *
 *   npx tsx bench/bars.ts [--data ../shared/data] [--model stories260k] [--method gptq] [--seeds 3] [--sequential site]
 */

const models = [
  { name: 'stories260k', folder: 'llm-stories260k', window: 512 },
  { name: 'babyllama', folder: 'llm-babyllama-tok105', window: 256 },
] as const;

const settings = [
  { name: 'W8 g32', weights: { bits: 8, group_size: 32 } },
  { name: 'W4 row', weights: { bits: 4, group_size: 'row' } },
  { name: 'W4 g32', weights: { bits: 4, group_size: 32 } },
  { name: 'W3 row', weights: { bits: 3, group_size: 'row' } },
  { name: 'W3 g32', weights: { bits: 3, group_size: 32 } },
  { name: 'W2 g32', weights: { bits: 2, group_size: 32 } },
] as const;

/** Methods as the table calls them, with the recipe keys that mean them. */
const methods = {
  rtn: { options: { method: 'rtn' }, weights: {} },
  'rtn-clip': { options: { method: 'rtn' }, weights: { clip: 'auto' } },
  gptq: { options: { method: 'gptq' }, weights: {} },
  'gptq-minmax': { options: { method: 'gptq' }, weights: { clip: 'none' } },
  'gptq-hessian': { options: { method: 'gptq' }, weights: { clip: 'hessian' } },
} as const;

type MethodName = keyof typeof methods;

const { values: given } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    model: { type: 'string' },
    method: { type: 'string', default: 'rtn,gptq' },
    seeds: { type: 'string', default: '1' },
    sequential: { type: 'string', default: 'block' },
  },
});

interface Row {
  readonly perplexity: number;
  readonly divergence: number;
  readonly bytes: number;
  readonly seconds: number;
}

const measure = async (
  program: Program,
  reference: Program,
  dataset: Dataset,
): Promise<Pick<Row, 'perplexity' | 'divergence'>> => {
  const results = await evaluate({
    program,
    reference,
    dataset,
    metrics: ['perplexity', 'kl'],
    engine: onnxruntimeEngine,
    emit: () => undefined,
  });
  const found = (name: string): number => results.find(({ metric }) => metric === name)?.value ?? Number.NaN;
  return { perplexity: found('perplexity'), divergence: found('kl') };
};

/** Bytes of the model as MatMulNBits. */
const bytesOf = (program: Program): number => {
  const copy = cloneProgram(program);
  lowerToMatMulNBits(copy, { accuracyLevel: 0 });
  return encodeProgram(copy).byteLength;
};

const round = async (
  model: Model,
  options: unknown,
  calibration: Dataset,
): Promise<{ program: Program; seconds: number }> => {
  const scratch = mkdtempSync(join(tmpdir(), 'modelpress-bars-'));
  try {
    const begin = performance.now();
    const result = await quantizeStage.run(model, quantizeStage.options.parse(options), {
      calibration,
      engine: onnxruntimeEngine,
      maxMemoryBytes: 2 ** 30,
      threads: 2,
      seed: 0,
      checkpoints: { get: () => undefined, put: () => undefined },
      scratch: { directory: scratch },
      emit: () => undefined,
      signal: new AbortController().signal,
    });
    return { program: result.model.program, seconds: (performance.now() - begin) / 1000 };
  } finally {
    rmSync(scratch, { recursive: true });
  }
};

const mean = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;

const print = (cells: readonly string[]): void =>
  console.log(cells.map((cell, index) => (index < 3 ? cell.padEnd(13) : cell.padStart(10))).join(' '));

print(['model', 'method', 'setting', 'perplexity', 'KL', 'KL spread', 'bytes', 'seconds']);
for (const { name, folder, window } of models) {
  if (given.model && given.model !== name) continue;
  const directory = resolve(given.data, folder);
  const evaluation = join(directory, 'eval/tinystories-valid-19stories.u16');
  const training = join(directory, 'eval/tinystories-train-sample.u16');
  const model = await openModel(directory);
  const context = { baseDirectory: directory, modelInputs: inputSignature(model.program), seed: 0 };
  const stories = await openDataset({ tokens: evaluation, bos: 1, split: 1, window }, context);
  const plain = await measure(model.program, model.program, stories);
  print([
    name,
    'float32',
    '',
    plain.perplexity.toFixed(4),
    '0',
    '',
    String(encodeProgram(model.program).byteLength),
    '',
  ]);
  for (const method of given.method.split(',') as MethodName[]) {
    const { options, weights: extra } = methods[method];
    for (const { name: setting, weights } of settings) {
      const rows: Row[] = [];
      for (let seed = 0; seed < (method === 'rtn' ? 1 : Number(given.seeds)); seed++) {
        const drawn = { tokens: training, bos: 1, window, samples: 64, shuffle: true };
        const calibration = await openDataset(drawn, { ...context, seed });
        const request = { ...options, weights: { ...weights, ...extra }, ignore: ['op:Gather', 'role:head'] };
        const sequential = method.startsWith('gptq') ? { sequential: given.sequential } : {};
        const { program, seconds } = await round(model, { ...request, ...sequential }, calibration);
        rows.push({ ...(await measure(program, model.program, stories)), bytes: bytesOf(program), seconds });
      }
      const divergences = rows.map(({ divergence }) => divergence);
      print([
        name,
        method,
        setting,
        mean(rows.map(({ perplexity }) => perplexity)).toFixed(4),
        mean(divergences).toFixed(5),
        (Math.max(...divergences) - Math.min(...divergences)).toFixed(5),
        String(rows[0]?.bytes ?? 0),
        mean(rows.map(({ seconds }) => seconds)).toFixed(1),
      ]);
    }
  }
}
