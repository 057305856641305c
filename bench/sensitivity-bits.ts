import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { openModel } from '../src/artifact/open.ts';
import { openDataset } from '../src/calibration/samples/table.ts';
import { inputSignature } from '../src/execution/signature.ts';
import type { Model } from '../src/ir/model.ts';
import { memoryStore } from '../src/stages/memory-store.ts';
import { quantizeStage } from '../src/stages/quantize/index.ts';
import { sensitivityStage } from '../src/stages/sensitivity/index.ts';
import type { StageContext } from '../src/stages/stage.ts';
import { benchContext } from './context.ts';
import { measure } from './measured.ts';

/**
 * Bits chosen for every weight against the same bits everywhere, at equal means: the shared language models under the
 * protocol of bars.ts (products of the blocks, 64 windows, groups of 32), and the vision models channel by channel.
 *
 *   npx tsx bench/sensitivity-bits.ts [--data ../shared/data] [--model stories260k] [--method curvature]
 *                                     [--budgets 2.5,3,4] [--uniform 2,3,4] [--sensitivity '{"rounding":"rtn"}'] [--seed 0]
 */
const { values: given } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    model: { type: 'string', default: 'stories260k' },
    method: { type: 'string', default: 'curvature' },
    budgets: { type: 'string', default: '2.5,3,4' },
    uniform: { type: 'string', default: '2,3,4' },
    sensitivity: { type: 'string', default: '{}' },
    samples: { type: 'string', default: '64' },
    seed: { type: 'string', default: '0' },
  },
});

const root = resolve(given.data);
const samples = Number(given.samples);

/** A model, the data it is calibrated and measured on, and what is rounded how. */
interface Subject {
  readonly path: string;
  readonly calibration: unknown;
  readonly evaluation: unknown;
  readonly ignore: readonly string[];
  readonly groupSize: number | 'row';
  readonly metrics: readonly string[];
}

const language = (folder: string, window: number): Subject => {
  const tokens = (name: string): string => join(root, folder, 'eval', name);
  return {
    path: join(root, folder),
    calibration: { tokens: tokens('tinystories-train-sample.u16'), bos: 1, window, samples, shuffle: true },
    evaluation: { tokens: tokens('tinystories-valid-19stories.u16'), bos: 1, split: 1, window },
    ignore: ['op:Gather', 'role:head'],
    groupSize: 32,
    metrics: ['perplexity', 'kl'],
  };
};

const cifar = {
  format: 'cifar10',
  preprocessing: { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
};
const photos = {
  images: join(root, 'vision-squeezenet-imagenet/images'),
  labels: join(root, 'vision-squeezenet-imagenet/labels.csv'),
  preprocessing: { channels: 'bgr', mean: [104, 117, 123] },
  shuffle: true,
};

const subjects: Readonly<Record<string, Subject>> = {
  stories260k: language('llm-stories260k', 512),
  babyllama: language('llm-babyllama-tok105', 256),
  squeezenet: {
    path: join(root, 'vision-squeezenet-imagenet/squeezenet1.1_fp32.onnx'),
    calibration: { ...photos, samples },
    evaluation: { ...photos, skip: 128 },
    ignore: [],
    groupSize: 'row',
    metrics: ['accuracy', 'kl'],
  },
  resnet20: {
    path: join(root, 'vision-cifar10-resnet/resnet20_cifar10.onnx'),
    calibration: {
      ...cifar,
      records: join(root, 'vision-cifar10-resnet/cifar10_train_lossless_1000.bin'),
      shuffle: true,
      samples,
    },
    evaluation: { ...cifar, records: join(root, 'vision-cifar10-resnet/cifar10_test_jpeg_2000.bin'), samples: 1000 },
    ignore: [],
    groupSize: 'row',
    metrics: ['accuracy', 'kl'],
  },
};

const subject = subjects[given.model];
if (!subject) throw new Error(`models are ${Object.keys(subjects).join(', ')}`);
const { path, ignore, groupSize, metrics } = subject;
const seed = Number(given.seed);
const model = await openModel(path);
const place = { baseDirectory: root, modelInputs: inputSignature(model.program), seed };
const calibration = await openDataset(subject.calibration, place);
const scored = await openDataset(subject.evaluation, place);
const scratch = mkdtempSync(join(tmpdir(), 'modelpress-bench-'));
const context = (): StageContext => benchContext(scratch, { calibration, seed, shared });
const shared = memoryStore();

const report = async (setting: string, from: Model, bits: number | 'auto', note: string): Promise<void> => {
  const options = quantizeStage.options.parse({
    method: given.method,
    ignore,
    weights: { bits, group_size: groupSize },
  });
  const { model: rounded } = await quantizeStage.run(from, options, context());
  const values = await measure(rounded.program, model.program, scored, metrics);
  const cells = metrics.map((metric) => `${metric} ${values[metric]!.toPrecision(5)}`);
  console.log(`${given.model} ${setting.padEnd(14)}${cells.join('  ')}  ${note}`);
};

const numbers = (text: string): number[] => (text === '' ? [] : text.split(',').map(Number));

try {
  for (const budget of numbers(given.budgets)) {
    const asked = {
      ignore,
      group_size: groupSize,
      budget: { average_bits: budget },
      ...JSON.parse(given.sensitivity),
    };
    const options = sensitivityStage.options.parse(asked);
    const { model: allocated, findings } = await sensitivityStage.run(model, options, context());
    const texts = findings.flatMap(({ text, facts }) => (facts?.recipe === undefined ? [text] : []));
    await report(`${budget} chosen`, allocated, 'auto', texts.join('; '));
  }
  for (const bits of numbers(given.uniform)) await report(`${bits} everywhere`, model, bits, '');
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
