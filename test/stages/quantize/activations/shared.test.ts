import { describe, expect, test } from 'vitest';
import { findSites } from '../../../../src/analysis/sites.ts';
import { readOnnx } from '../../../../src/artifact/formats/onnx/read.ts';
import { encodeProgram } from '../../../../src/artifact/formats/onnx/write.ts';
import { type Dataset, takeSamples } from '../../../../src/calibration/dataset.ts';
import { openDataset } from '../../../../src/calibration/samples/table.ts';
import { onnxruntimeEngine } from '../../../../src/execution/onnxruntime.ts';
import { inputSignature } from '../../../../src/execution/signature.ts';
import type { Program } from '../../../../src/ir/graph.ts';
import { verify } from '../../../../src/ir/verify.ts';
import { evaluate } from '../../../../src/metrics/evaluate.ts';
import { quantizeDynamic } from '../../../../src/stages/quantize/activations/dynamic.ts';
import { quantizeStatic } from '../../../../src/stages/quantize/activations/static.ts';
import { sharedData } from '../../../shared.ts';
import { contextOf, dynamicOptions, modelOf, staticOptions } from './workbench.ts';

const datasetFor = (program: Program, spec: unknown): Promise<Dataset> =>
  openDataset(spec, { baseDirectory: '.', seed: 0, modelInputs: inputSignature(program) });

const measure = async (program: Program, reference: Program, dataset: Dataset): Promise<Map<string, number>> => {
  const metrics = ['agreement', 'snr'];
  const results = await evaluate({
    program,
    reference,
    dataset,
    metrics,
    engine: onnxruntimeEngine,
    emit: () => undefined,
  });
  return new Map(results.map(({ metric, value }) => [metric, value]));
};

const bytesOf = (program: Program): number => encodeProgram(program).byteLength;

describe('static quantization', () => {
  const digits = sharedData('vision-mnist', 'mnist.onnx');
  test.skipIf(!digits)(
    'of the digit reader is half of its bytes and decides as before (needs ../shared/data)',
    async () => {
      const program = readOnnx(digits!);
      const spec = { records: sharedData('vision-mnist', 't10k-images-idx3-ubyte.gz'), format: 'idx', shuffle: true };
      const calibration = await datasetFor(program, { ...spec, samples: 64 });
      const { model } = await quantizeStatic(modelOf(program), staticOptions(), contextOf(calibration));
      const found = await measure(
        model.program,
        program,
        await datasetFor(program, { ...spec, skip: 64, samples: 500 }),
      );
      expect(bytesOf(model.program)).toBeLessThan(13_200);
      expect(found.get('agreement')).toBeGreaterThan(0.994);
      expect(found.get('snr')).toBeGreaterThan(38);
    },
  );

  const residual = sharedData('vision-cifar10-resnet', 'resnet20_cifar10.onnx');
  test.skipIf(!residual)(
    'of a residual network runs without floats between its products (needs ../shared/data)',
    async () => {
      const program = readOnnx(residual!);
      const preprocessing = { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
      const records = (file: string) => sharedData('vision-cifar10-resnet', file);
      const calibration = await datasetFor(program, {
        records: records('cifar10_train_lossless_1000.bin'),
        format: 'cifar10',
        preprocessing,
        samples: 64,
      });
      const evaluation = await datasetFor(program, {
        records: records('cifar10_test_jpeg_2000.bin'),
        format: 'cifar10',
        preprocessing,
        samples: 200,
      });
      const { model, findings } = await quantizeStatic(modelOf(program), staticOptions(), contextOf(calibration));
      expect(findings).toEqual([]);
      const floats = new Set(model.program.graph.nodes.map((node) => node.op));
      for (const op of ['BatchNormalization', 'Relu']) expect(floats).not.toContain(op);
      const found = await measure(model.program, program, evaluation);
      expect(bytesOf(model.program)).toBeLessThan(323_000);
      expect(found.get('agreement')).toBeGreaterThan(0.96);
      expect(found.get('snr')).toBeGreaterThan(26);
    },
  );
});

describe('dynamic quantization', () => {
  const files = [
    { file: 'silero_vad_16k_op15.onnx', bytes: 400_000 },
    { file: 'silero_vad.onnx', bytes: 700_000 },
  ];
  test.skipIf(!sharedData('audio-silero-vad')).each(files)(
    'of $file decides as before, recurrent layers inside branches included (needs ../shared/data)',
    async ({ file, bytes }) => {
      const program = readOnnx(sharedData('audio-silero-vad', file)!);
      const speech = await datasetFor(program, {
        audio: sharedData('audio-silero-vad', 'test.wav'),
        window: 512,
        context: 64,
        constants: { sr: 16000 },
        carry: { stateN: 'state' },
      });
      const { model } = await quantizeDynamic(modelOf(program), dynamicOptions(), contextOf(takeSamples(speech, 1)));
      expect(verify(model.program)).toEqual([]);
      expect(findSites(model.program).filter((site) => site.rows * site.columns >= 256)).toEqual([]);
      expect(bytesOf(model.program)).toBeLessThan(bytes);
      expect((await measure(model.program, program, speech)).get('agreement')).toBeGreaterThan(0.993);
    },
  );

  const stories = sharedData('llm-stories260k', 'model.onnx');
  test.skipIf(!stories)('of a language model keeps what it predicts (needs ../shared/data)', async () => {
    const program = readOnnx(stories!);
    const windows = await datasetFor(program, {
      tokens: sharedData('llm-stories260k', 'eval', 'tinystories-valid-19stories.u16'),
      bos: 1,
      split: 1,
      window: 512,
      samples: 3,
    });
    const { model } = await quantizeDynamic(modelOf(program), dynamicOptions(), contextOf(undefined));
    const [divergence] = await evaluate({
      program: model.program,
      reference: program,
      dataset: windows,
      metrics: ['kl'],
      engine: onnxruntimeEngine,
      emit: () => undefined,
    });
    expect(divergence!.value).toBeLessThan(0.003);
    expect(bytesOf(model.program)).toBeLessThan(410_000);
  });
});
