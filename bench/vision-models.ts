import { join } from 'node:path';
import { readOnnx } from '../src/artifact/formats/onnx/read.ts';
import type { Dataset } from '../src/calibration/dataset.ts';
import { openDataset } from '../src/calibration/samples/table.ts';
import { inputSignature } from '../src/execution/signature.ts';
import type { Program } from '../src/ir/graph.ts';

/** How many samples calibrate, and at most how many measure (default: all that do not calibrate). */
export interface Amounts {
  readonly calibration: number;
  readonly evaluation?: number;
}

interface VisionModel {
  readonly name: string;
  readonly file: string;
  readonly calibration: object;
  readonly evaluation: object;
}

/** The classifiers of the shared data below `root`, with what calibrates and what measures them. */
export const visionModels = (root: string, amounts: Amounts): readonly VisionModel[] => {
  const samples = amounts.calibration;
  // Few pictures: most of them are to measure.
  const picturesToCalibrate = Math.min(samples, 128);
  const limit = amounts.evaluation === undefined ? {} : { samples: amounts.evaluation };
  const pictures = {
    images: join(root, 'vision-squeezenet-imagenet/images'),
    labels: join(root, 'vision-squeezenet-imagenet/labels.csv'),
    preprocessing: { channels: 'bgr', mean: [104, 117, 123] },
    shuffle: true,
  };
  const cifar = (file: string) => ({
    records: join(root, 'vision-cifar10-resnet', file),
    format: 'cifar10',
    preprocessing: { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
    shuffle: true,
  });
  const digits = {
    records: join(root, 'vision-mnist/t10k-images-idx3-ubyte.gz'),
    format: 'idx',
    labels: join(root, 'vision-mnist/t10k-labels-idx1-ubyte.gz'),
    shuffle: true,
  };
  return [
    {
      name: 'squeezenet',
      file: join(root, 'vision-squeezenet-imagenet/squeezenet1.1_fp32.onnx'),
      calibration: { ...pictures, samples: picturesToCalibrate },
      evaluation: { ...pictures, skip: picturesToCalibrate, ...limit },
    },
    {
      name: 'resnet20',
      file: join(root, 'vision-cifar10-resnet/resnet20_cifar10.onnx'),
      calibration: { ...cifar('cifar10_train_lossless_1000.bin'), samples },
      evaluation: { ...cifar('cifar10_test_jpeg_2000.bin'), ...limit },
    },
    {
      name: 'mnist',
      file: join(root, 'vision-mnist/mnist.onnx'),
      calibration: { ...digits, samples },
      evaluation: { ...digits, skip: samples, ...limit },
    },
  ];
};

/** A model with its two datasets opened; images are drawn by seed 0. */
export const openVisionModel = async (
  model: VisionModel,
): Promise<{ program: Program; calibration: Dataset; evaluation: Dataset }> => {
  const program = readOnnx(model.file);
  const context = { baseDirectory: '.', seed: 0, modelInputs: inputSignature(program) };
  return {
    program,
    calibration: await openDataset(model.calibration, context),
    evaluation: await openDataset(model.evaluation, context),
  };
};
