import { join, resolve } from 'node:path';

/** A shared model whose weights are disturbed one by one, with data to see what that does. */
export interface SensitivitySubject {
  readonly name: string;
  readonly path: string;
  readonly data: object;
  /** Options of the sensitivity stage that are its own. */
  readonly options: object;
}

/** The shared models that sensitivities are measured on. @param minilm folder of MiniLM, or '' for none */
export const sensitivitySubjects = (
  folder: string,
  minilm: string,
  samples: number,
): { readonly root: string; readonly subjects: readonly SensitivitySubject[] } => {
  const root = resolve(folder);
  const stories = { bos: 1, shuffle: true, samples };
  const blockProducts = { ignore: ['op:Gather', 'role:head'] };

  const subjects: SensitivitySubject[] = [
    {
      name: 'stories260k',
      path: join(root, 'llm-stories260k'),
      data: { tokens: join(root, 'llm-stories260k/eval/tinystories-train-sample.u16'), window: 512, ...stories },
      options: blockProducts,
    },
    {
      name: 'babyllama',
      path: join(root, 'llm-babyllama-tok105'),
      data: { tokens: join(root, 'llm-babyllama-tok105/eval/tinystories-train-sample.u16'), window: 256, ...stories },
      options: blockProducts,
    },
    {
      name: 'lab-english',
      path: join(root, 'llm-lab-english'),
      data: {
        tokens: join(root, 'llm-lab-english/eval/english-train-256x256.u16'),
        window: 256,
        shuffle: true,
        samples,
      },
      options: blockProducts,
    },
    {
      name: 'squeezenet',
      path: join(root, 'vision-squeezenet-imagenet/squeezenet1.1_fp32.onnx'),
      data: {
        images: join(root, 'vision-squeezenet-imagenet/images'),
        preprocessing: { channels: 'bgr', mean: [104, 117, 123] },
        shuffle: true,
        samples,
      },
      options: {},
    },
    {
      name: 'resnet20',
      path: join(root, 'vision-cifar10-resnet/resnet20_cifar10.onnx'),
      data: {
        records: join(root, 'vision-cifar10-resnet/cifar10_train_lossless_1000.bin'),
        format: 'cifar10',
        preprocessing: { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
        shuffle: true,
        samples,
      },
      options: {},
    },
    {
      name: 'minilm',
      path: minilm,
      data: { text: join(root, 'text-corpora/wikitext-2-valid.txt'), window: 64, shuffle: true, samples },
      options: { ignore: ['op:Gather'] },
    },
  ];
  return { root, subjects };
};
