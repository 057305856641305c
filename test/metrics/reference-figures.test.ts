import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readOnnx } from '../../src/artifact/formats/onnx/read.ts';
import { openDataset } from '../../src/calibration/samples/table.ts';
import { bindingOf } from '../../src/execution/feeds.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { inputSignature } from '../../src/execution/signature.ts';
import { evaluate } from '../../src/metrics/evaluate.ts';
import { sharedData } from '../shared.ts';

/** Metrics of a shared model on shared data, by name. */
const measure = async (
  model: string,
  spec: Record<string, unknown>,
  metrics: readonly string[],
  referenceModel?: string,
) => {
  const program = readOnnx(sharedData(model)!);
  const dataset = await openDataset(spec, {
    baseDirectory: sharedData('.')!,
    seed: 0,
    modelInputs: inputSignature(program),
    vocabulary: bindingOf(program).vocabulary,
  });
  const results = await evaluate({
    program,
    reference: referenceModel === undefined ? undefined : readOnnx(sharedData(referenceModel)!),
    dataset,
    metrics,
    engine: onnxruntimeEngine,
    emit: () => {},
  });
  return new Map(results.map((result) => [result.metric, result]));
};

interface TokenReference {
  readonly tokens_scored: number;
  readonly nll: number;
  readonly ppl: number;
  readonly top1: number;
}

const tokenReference = (model: string, stream: string): TokenReference =>
  JSON.parse(readFileSync(join(sharedData(model)!, 'eval', 'fp32-reference.json'), 'utf8'))[stream];

describe.skipIf(!sharedData('README.md'))('the reference figures of the shared models (needs ../shared/data)', () => {
  test.each([
    ['llm-stories260k', 512],
    ['llm-babyllama-tok105', 256],
  ])('%s: perplexity of the validation stories', async (model, window) => {
    const stream = 'tinystories-valid-19stories';
    const spec = { tokens: `${model}/eval/${stream}.u16`, bos: 1, split: 1, window };
    const found = await measure(`${model}/model.onnx`, spec, ['perplexity', 'nll', 'accuracy']);
    const expected = tokenReference(model, stream);
    expect(found.get('perplexity')?.count).toBe(expected.tokens_scored);
    expect(found.get('perplexity')?.value).toBeCloseTo(expected.ppl, 4);
    expect(found.get('nll')?.value).toBeCloseTo(expected.nll, 5);
    expect(found.get('accuracy')?.value).toBeCloseTo(expected.top1, 3);
    expect(found.get('perplexity')?.interval).toBeGreaterThan(0);
  });

  test('resnet20: accuracy on the degraded CIFAR-10 pictures', async () => {
    const spec = {
      records: 'vision-cifar10-resnet/cifar10_test_jpeg_2000.bin',
      format: 'cifar10',
      preprocessing: { scale: '1/255', mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
    };
    const found = await measure('vision-cifar10-resnet/resnet20_cifar10.onnx', spec, ['accuracy']);
    expect(found.get('accuracy')).toMatchObject({ value: 0.8135, count: 2000 });
  });

  test('mnist: accuracy on the test set', async () => {
    const spec = {
      records: 'vision-mnist/t10k-images-idx3-ubyte.gz',
      format: 'idx',
      labels: 'vision-mnist/t10k-labels-idx1-ubyte.gz',
    };
    const found = await measure('vision-mnist/mnist.onnx', spec, ['accuracy']);
    expect(found.get('accuracy')).toMatchObject({ value: 0.9891, count: 10_000 });
  });

  test('squeezenet: pictures of a folder, labelled by a CSV file, agree with half-precision weights and activations', async () => {
    const spec = {
      images: 'vision-squeezenet-imagenet/images',
      labels: 'vision-squeezenet-imagenet/labels.csv',
      preprocessing: { channels: 'bgr', mean: [104, 117, 123] },
      samples: 16,
      shuffle: true,
    };
    const folder = 'vision-squeezenet-imagenet';
    const names = ['accuracy', 'accuracy-top5', 'agreement', 'snr', 'kl'];
    const found = await measure(`${folder}/squeezenet1.1_fp16.onnx`, spec, names, `${folder}/squeezenet1.1_fp32.onnx`);
    expect(found.get('accuracy')?.value).toBeGreaterThan(0.3);
    expect(found.get('accuracy-top5')?.value).toBeGreaterThanOrEqual(found.get('accuracy')!.value);
    expect(found.get('agreement')?.value).toBeGreaterThan(0.9);
    expect(found.get('snr')?.value).toBeGreaterThan(30);
    expect(found.get('kl')?.value).toBeLessThan(0.001);
  });

  test('silero: both files make the same decisions over the whole recording', async () => {
    const spec = {
      audio: 'audio-silero-vad/test.wav',
      window: 512,
      context: 64,
      rate: 16000,
      constants: { sr: 16000 },
      carry: { stateN: 'state' },
    };
    const names = ['agreement', 'kl', 'snr'];
    const found = await measure(
      'audio-silero-vad/silero_vad_16k_op15.onnx',
      spec,
      names,
      'audio-silero-vad/silero_vad.onnx',
    );
    expect(found.get('agreement')).toMatchObject({ value: 1, count: 1875 });
    expect(found.get('snr')?.value).toBeGreaterThan(60);
  });
});
