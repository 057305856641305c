import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { openModel } from '../src/artifact/open.ts';
import type { Dataset } from '../src/calibration/dataset.ts';
import { openDataset } from '../src/calibration/samples/table.ts';
import { WeightCosts } from '../src/curvature/removal/costs.ts';
import { inputSignature } from '../src/execution/signature.ts';
import type { Model } from '../src/ir/model.ts';
import { autoStage } from '../src/stages/auto/index.ts';
import { factorizeStage } from '../src/stages/factorize/index.ts';
import { shareStage } from '../src/stages/share/index.ts';
import { sliceStage } from '../src/stages/slice/index.ts';
import type { Stage } from '../src/stages/stage.ts';
import { benchContext } from './context.ts';
import { measure } from './measured.ts';

/**
 * Quality of the shared models after their structure was made smaller, under the protocol of the design notes: 64 windows (or
 * images of the training sample) drawn by a seed, no training; the validation stories scored token by token, or the
 * test images.
 *
 *   npx tsx bench/slice.ts --model stories260k --ratio 0.125,0.25 [--options '{"method":"flap"}'] [--seeds 3] [--samples 256] [--latency]
 *   npx tsx bench/slice.ts --stage share --model stories260k --ratio 0.2,0.3 [--options '{"method":"atoms"}']
 *   npx tsx bench/slice.ts --stage auto --model babyllama --ratio 0.3 [--options '{"kinds":["low-rank"]}']
 */

const { values: given } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    stage: { type: 'string', default: 'slice' },
    model: { type: 'string', default: 'stories260k' },
    ratio: { type: 'string', default: '0.25' },
    options: { type: 'string', default: '{}' },
    seeds: { type: 'string', default: '1' },
    samples: { type: 'string' },
    latency: { type: 'boolean', default: false },
  },
});

interface Subject {
  readonly path: string;
  readonly measure: 'block_parameters' | 'operations';
  readonly metrics: readonly string[];
  readonly calibration: object;
  readonly evaluation: object;
}

const root = resolve(given.data);
const cifar = {
  format: 'cifar10',
  preprocessing: { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
};
const language = (folder: string, window: number): Subject => ({
  path: join(root, folder),
  measure: 'block_parameters',
  metrics: ['perplexity', 'kl'],
  calibration: {
    tokens: join(root, folder, 'eval/tinystories-train-sample.u16'),
    bos: 1,
    window,
    samples: 64,
    shuffle: true,
  },
  evaluation: { tokens: join(root, folder, 'eval/tinystories-valid-19stories.u16'), bos: 1, split: 1, window },
});

const subjects: Readonly<Record<string, Subject>> = {
  stories260k: language('llm-stories260k', 512),
  babyllama: language('llm-babyllama-tok105', 256),
  resnet20: {
    path: join(root, 'vision-cifar10-resnet/resnet20_cifar10.onnx'),
    measure: 'operations',
    metrics: ['accuracy', 'kl'],
    calibration: { ...cifar, records: join(root, 'vision-cifar10-resnet/cifar10_train_lossless_1000.bin') },
    evaluation: { ...cifar, records: join(root, 'vision-cifar10-resnet/cifar10_test_jpeg_2000.bin'), samples: 1000 },
  },
};

/** The stages that make structure smaller, with options that take a share of a measure away. */
const stages: Readonly<
  Record<string, { readonly stage: Stage<unknown>; options(measure: Subject['measure'], ratio: number): object }>
> = {
  slice: { stage: sliceStage as Stage<unknown>, options: (measure, ratio) => ({ ratio: { [measure]: ratio } }) },
  share: { stage: shareStage as Stage<unknown>, options: (_, ratio) => ({ ratio }) },
  auto: { stage: autoStage as Stage<unknown>, options: (measure, ratio) => ({ [measure]: 1 - ratio }) },
  factorize: {
    stage: factorizeStage as Stage<unknown>,
    options: (measure, ratio) => (measure === 'operations' ? { operations: ratio } : { ratio }),
  },
};

const made = async (
  stage: Stage<unknown>,
  model: Model,
  options: unknown,
  calibration: Dataset,
  seed: number,
): Promise<Model> => {
  const directory = mkdtempSync(join(tmpdir(), 'modelpress-bench-'));
  try {
    const result = await stage.run(model, stage.options.parse(options), benchContext(directory, { calibration, seed }));
    for (const { text } of result.findings) if (text.startsWith('predicted')) console.log(text);
    return result.model;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

const print = (cells: readonly (string | number)[]): void =>
  console.log(
    cells.map((cell) => (typeof cell === 'number' ? cell.toFixed(4).padStart(10) : cell.padEnd(26))).join(' '),
  );

const chosen = stages[given.stage];
if (!chosen) throw new Error(`no stage ${given.stage}: ${Object.keys(stages).join(', ')}`);
const subject = subjects[given.model];
if (!subject) throw new Error(`no model ${given.model}: ${Object.keys(subjects).join(', ')}`);
const model = await openModel(subject.path);
const context = { baseDirectory: root, modelInputs: inputSignature(model.program), seed: 0 };
const evaluation = await openDataset(subject.evaluation, context);
const metrics = given.latency ? [...subject.metrics, 'latency'] : subject.metrics;
const before = new WeightCosts(model.program, 'all').total;
const plain = await measure(model.program, model.program, evaluation, metrics);
print(['model', 'left parameters, operations', ...metrics, 'seconds']);
print([given.model, '', 1, 1, ...metrics.map((name) => plain[name]!)]);
for (const ratio of given.ratio.split(',').map(Number))
  for (let seed = 0; seed < Number(given.seeds); seed++) {
    const extra = JSON.parse(given.options) as Record<string, unknown>;
    const fewer = given.samples === undefined ? {} : { samples: Number(given.samples), shuffle: true };
    const calibration = await openDataset({ ...subject.calibration, ...fewer }, { ...context, seed });
    const begin = performance.now();
    const options = { ...chosen.options(subject.measure, ratio), ...extra };
    const { program } = await made(chosen.stage, model, options, calibration, seed);
    const seconds = (performance.now() - begin) / 1000;
    const after = new WeightCosts(program, 'all').total;
    const values = await measure(program, model.program, evaluation, metrics);
    print([
      `${given.model} -${ratio * 100} %`,
      `${given.options} seed ${seed}`,
      after.parameters / before.parameters,
      after.operations / before.operations,
      ...metrics.map((name) => values[name]!),
      seconds,
    ]);
  }
