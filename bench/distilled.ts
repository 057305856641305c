// Quantization-aware distillation of the shared language models: rounded by curvature on 64 windows, then trained as
// integers against the original on the whole training sample; measured on the 19 validation stories.
//
//   npx tsx bench/distilled.ts [--data ../shared/data] [--model stories260k] [--bits 4,3,2] [--seeds 1] [--distill '{"steps":300}'] [--quantize '{…}']
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { openModel } from '../src/artifact/open.ts';
import { loadSnapshot, saveSnapshot } from '../src/artifact/snapshot.ts';
import type { Dataset } from '../src/calibration/dataset.ts';
import { openDataset } from '../src/calibration/samples/table.ts';
import { onnxruntimeEngine } from '../src/execution/onnxruntime.ts';
import { inputSignature } from '../src/execution/signature.ts';
import type { Model } from '../src/ir/model.ts';
import { evaluate } from '../src/metrics/evaluate.ts';
import { contentKey } from '../src/recipe/cache-keys.ts';
import { distillStage } from '../src/stages/distill/index.ts';
import { quantizeStage } from '../src/stages/quantize/index.ts';
import type { StageContext } from '../src/stages/stage.ts';
import { benchContext } from './context.ts';

const models = {
  stories260k: { folder: 'llm-stories260k', window: 512 },
  babyllama: { folder: 'llm-babyllama-tok105', window: 256 },
} as const;

const { values: given } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    model: { type: 'string', default: 'stories260k' },
    bits: { type: 'string', default: '4,3,2' },
    seeds: { type: 'string', default: '1' },
    quantize: { type: 'string', default: '{}' },
    distill: { type: 'string', default: '{}' },
    /** Folder that keeps the rounded models for the next call. */
    keep: { type: 'string', default: 'out/bench' },
  },
});

const { folder, window } = models[given.model as keyof typeof models];
const directory = resolve(given.data, folder);
const original = await openModel(directory);
const tokens = (file: string, extra: object, seed: number): Promise<Dataset> =>
  openDataset(
    { tokens: join(directory, 'eval', file), bos: 1, window, ...extra },
    { baseDirectory: directory, modelInputs: inputSignature(original.program), seed },
  );
const stories = await tokens('tinystories-valid-19stories.u16', { split: 1 }, 0);

const contextOf = (calibration: Dataset, seed: number, scratch: string): StageContext =>
  benchContext(scratch, {
    calibration,
    models: { original, open: openModel },
    maxMemoryBytes: 2 ** 31,
    seed,
    checkpoints: { get: () => undefined, put: () => undefined },
    emit: (event) => {
      if (event.type === 'training-judged') console.error(`step ${event.step}: ${event.value.toFixed(5)}`);
    },
  });

const quantized = async (bits: number, seed: number, scratch: string): Promise<Model> => {
  const written = {
    method: 'curvature',
    weights: { bits, group_size: 32 },
    ignore: ['role:embedding', 'role:head'],
    ...(JSON.parse(given.quantize) as object),
  };
  const key = contentKey({ model: given.model, written, seed });
  const kept = resolve(given.keep, key.slice(0, 16));
  if (existsSync(kept)) return { ...loadSnapshot(kept), origin: original.origin };
  const few = await tokens('tinystories-train-sample.u16', { samples: 64, shuffle: true }, seed);
  const { model } = await quantizeStage.run(
    original,
    quantizeStage.options.parse(written),
    contextOf(few, seed, scratch),
  );
  mkdirSync(kept, { recursive: true });
  await saveSnapshot(model, kept);
  return model;
};

const measure = async ({ program }: Model): Promise<string> => {
  const results = await evaluate({
    program,
    reference: original.program,
    dataset: stories,
    metrics: ['perplexity', 'kl'],
    engine: onnxruntimeEngine,
    emit: () => undefined,
  });
  const found = (name: string): number => results.find(({ metric }) => metric === name)?.value ?? Number.NaN;
  return `${found('perplexity').toFixed(4)} (${found('kl').toFixed(5)})`;
};

for (const bits of given.bits.split(',').map(Number))
  for (let seed = 0; seed < Number(given.seeds); seed++) {
    const scratch = mkdtempSync(join(tmpdir(), 'modelpress-bench-'));
    try {
      const start = await quantized(bits, seed, scratch);
      const all = await tokens('tinystories-train-sample.u16', {}, seed);
      const begin = process.cpuUsage();
      const options = distillStage.options.parse(JSON.parse(given.distill));
      const { model } = await distillStage.run(start, options, contextOf(all, seed, scratch));
      const { user, system } = process.cpuUsage(begin);
      const seconds = ((user + system) / 1e6).toFixed(0);
      console.log(
        `${given.model} W${bits} g32 seed ${seed}: ${await measure(start)} → ${await measure(model)}, ${seconds} processor seconds, ${given.distill}`,
      );
    } finally {
      rmSync(scratch, { recursive: true });
    }
  }
