import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readOnnx } from '../src/artifact/formats/onnx/read.ts';
import { openDataset } from '../src/calibration/samples/table.ts';
import { inputSignature } from '../src/execution/signature.ts';
import { measureSetting, printHead, printRow } from './measured.ts';

/**
 * Accuracy, agreement with the original, output SNR, bytes and latency of the shared vision models in 8-bit and
 * half-precision forms. 128 images give the ranges (drawn by seed 0), the others measure.
 *
 *   npx tsx bench/vision.ts [--data ../shared/data] [--model squeezenet] [--setting mse] [--samples 200]
 */
const { values: given } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    model: { type: 'string', default: '' },
    setting: { type: 'string', default: '' },
    samples: { type: 'string' },
  },
});

const root = resolve(given.data);
const cifar = { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const squeezenet = {
  images: join(root, 'vision-squeezenet-imagenet/images'),
  labels: join(root, 'vision-squeezenet-imagenet/labels.csv'),
  preprocessing: { channels: 'bgr', mean: [104, 117, 123] },
  shuffle: true,
};
const mnist = {
  records: join(root, 'vision-mnist/t10k-images-idx3-ubyte.gz'),
  format: 'idx',
  labels: join(root, 'vision-mnist/t10k-labels-idx1-ubyte.gz'),
  shuffle: true,
};
const resnet = { format: 'cifar10', preprocessing: cifar };

const models = [
  {
    name: 'squeezenet',
    file: 'vision-squeezenet-imagenet/squeezenet1.1_fp32.onnx',
    calibration: { ...squeezenet, samples: 128 },
    evaluation: { ...squeezenet, skip: 128 },
  },
  {
    name: 'resnet20',
    file: 'vision-cifar10-resnet/resnet20_cifar10.onnx',
    calibration: {
      ...resnet,
      records: join(root, 'vision-cifar10-resnet/cifar10_train_lossless_1000.bin'),
      shuffle: true,
      samples: 128,
    },
    evaluation: { ...resnet, records: join(root, 'vision-cifar10-resnet/cifar10_test_jpeg_2000.bin') },
  },
  {
    name: 'mnist',
    file: 'vision-mnist/mnist.onnx',
    calibration: { ...mnist, samples: 128 },
    evaluation: { ...mnist, skip: 128 },
  },
] as const;

const settings = [
  { name: 'fp32', options: undefined },
  { name: 'int8 static minmax', options: { activations: { ranges: 'minmax' } } },
  { name: 'int8 static percentile 99.999', options: { activations: { ranges: 'percentile' } } },
  { name: 'int8 static mse', options: { activations: { ranges: 'mse' } } },
  { name: 'int8 static minmax per tensor', options: { activations: { ranges: 'minmax', per_channel: false } } },
  { name: 'int8 static minmax int8 weights', options: { activations: { ranges: 'minmax', weight_type: 'int8' } } },
  { name: 'int8 static mse quantized head', options: { activations: { ranges: 'mse', head: 'quantized' } } },
  { name: 'int8 dynamic', options: { activations: 'dynamic' } },
  { name: 'float16', options: { precision: 'float16' } },
  { name: 'bfloat16 weights', options: { precision: 'bfloat16' } },
] as const;

const metrics = ['accuracy', 'agreement', 'snr', 'latency'];

for (const model of models) {
  if (!model.name.includes(given.model)) continue;
  const program = readOnnx(join(root, model.file));
  const context = { baseDirectory: '.', seed: 0, modelInputs: inputSignature(program) };
  const calibration = await openDataset(model.calibration, context);
  const limit = given.samples === undefined ? {} : { samples: Number(given.samples) };
  const evaluation = await openDataset({ ...model.evaluation, ...limit }, context);
  printHead(`${model.name}: ${evaluation.length} images`, metrics);
  for (const { name, options } of settings)
    if (name.includes(given.setting))
      printRow(await measureSetting({ program, calibration, evaluation, metrics }, name, options), metrics);
}
