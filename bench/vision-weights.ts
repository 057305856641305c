import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readOnnx } from '../src/artifact/formats/onnx/read.ts';
import { openDataset } from '../src/calibration/samples/table.ts';
import { inputSignature } from '../src/execution/signature.ts';
import { measureSetting, printHead, printRow } from './measured.ts';

/**
 * Accuracy, divergence and agreement of the shared vision models with weights of few bits, one scale a channel. The
 * calibration images are drawn by seed 0; others measure.
 *
 *   npx tsx bench/vision-weights.ts [--data ../shared/data] [--model resnet20] [--bits 4,3,2] [--method rtn,gptq,auto]
 */
const { values: given } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    model: { type: 'string', default: '' },
    bits: { type: 'string', default: '4,3,2' },
    method: { type: 'string', default: 'rtn,gptq,auto' },
    samples: { type: 'string' },
  },
});

const root = resolve(given.data);
const pictures = {
  images: join(root, 'vision-squeezenet-imagenet/images'),
  labels: join(root, 'vision-squeezenet-imagenet/labels.csv'),
  preprocessing: { channels: 'bgr', mean: [104, 117, 123] },
  shuffle: true,
};
const records = (file: string, samples: number) => ({
  records: join(root, 'vision-cifar10-resnet', file),
  format: 'cifar10',
  preprocessing: { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  shuffle: true,
  samples,
});

const models = [
  {
    name: 'squeezenet',
    file: 'vision-squeezenet-imagenet/squeezenet1.1_fp32.onnx',
    calibration: { ...pictures, samples: 128 },
    evaluation: { ...pictures, skip: 128 },
  },
  {
    name: 'resnet20',
    file: 'vision-cifar10-resnet/resnet20_cifar10.onnx',
    calibration: records('cifar10_train_lossless_1000.bin', 512),
    evaluation: records('cifar10_test_jpeg_2000.bin', 2000),
  },
] as const;

const metrics = ['accuracy', 'agreement', 'kl', 'snr'];

for (const model of models) {
  if (!model.name.includes(given.model)) continue;
  const program = readOnnx(join(root, model.file));
  const context = { baseDirectory: '.', seed: 0, modelInputs: inputSignature(program) };
  const calibration = await openDataset(model.calibration, context);
  const limit = given.samples === undefined ? {} : { samples: Number(given.samples) };
  const evaluation = await openDataset({ ...model.evaluation, ...limit }, context);
  const measurement = { program, calibration, evaluation, metrics };
  printHead(`${model.name}: ${evaluation.length} images`, metrics);
  printRow(await measureSetting(measurement, 'fp32', undefined), metrics);
  for (const bits of given.bits.split(',').map(Number))
    for (const method of given.method.split(',')) {
      const options = { method, weights: { bits, group_size: 'row' } };
      printRow(await measureSetting(measurement, `W${bits} ${method}`, options), metrics);
    }
}
