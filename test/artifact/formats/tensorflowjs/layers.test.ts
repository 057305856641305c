import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tensorflowJsFormat } from '../../../../src/artifact/formats/tensorflowjs/card.ts';
import { openModel } from '../../../../src/artifact/open.ts';
import type { NumericArray } from '../../../../src/calibration/dataset.ts';
import { onnxruntimeEngine } from '../../../../src/execution/onnxruntime.ts';
import { withSession } from '../../../../src/execution/session.ts';
import { inputsOf, layers, loadModel, predict, randomise, saveModel, tf } from './reference.ts';

let root: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'modelpress-tfjs-'));
  await tf.setBackend('cpu');
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const sequential = (...list: layers.layers.Layer[]): layers.LayersModel => layers.sequential({ layers: list });
const L = layers.layers;
const picture = { inputShape: [9, 8, 3] };
/** The default initializer needs operators that the tests do not load. */
const plain = { recurrentInitializer: 'glorotNormal' } as const;
const steps = { inputShape: [6, 4] };

/** Networks that together use every layer and every option that is known. */
const networks: Readonly<Record<string, () => layers.LayersModel>> = {
  'dense layers': () =>
    sequential(
      L.dense({ units: 5, inputShape: [4], activation: 'relu' }),
      L.dropout({ rate: 0.5 }),
      L.dense({ units: 3, useBias: false }),
      L.softmax({}),
    ),
  ...Object.fromEntries(
    [
      'elu',
      'hardSigmoid',
      'linear',
      'relu',
      'relu6',
      'selu',
      'sigmoid',
      'softmax',
      'softplus',
      'softsign',
      'tanh',
      'swish',
      'mish',
      'gelu',
    ].map((activation) => [
      `activation ${activation}`,
      () => sequential(L.dense({ units: 5, inputShape: [4], activation: activation as 'elu' })),
    ]),
  ),
  'activation layers': () =>
    sequential(
      L.dense({ units: 8, inputShape: [4] }),
      L.leakyReLU({ alpha: 0.2 }),
      L.elu({}),
      L.reLU({ maxValue: 0.7 }),
      L.prelu({}),
      L.activation({ activation: 'tanh' }),
      L.thresholdedReLU({ theta: 0.1 }),
    ),
  'Conv2D, same and strided': () =>
    sequential(
      L.conv2d({ ...picture, filters: 4, kernelSize: [3, 2], padding: 'same', strides: 2, activation: 'relu' }),
      L.conv2d({ filters: 5, kernelSize: 2, dilationRate: 2 }),
    ),
  'Conv2D, pictures of any size': () =>
    sequential(L.conv2d({ inputShape: [null, null, 3], filters: 4, kernelSize: 3, padding: 'same', strides: 2 })),
  'Conv1D, same and strided': () =>
    sequential(
      L.conv1d({ ...steps, filters: 3, kernelSize: 2, padding: 'same', dilationRate: 2 }),
      L.conv1d({ filters: 2, kernelSize: 3, strides: 2 }),
    ),
  Conv3D: () => sequential(L.conv3d({ inputShape: [4, 5, 4, 2], filters: 3, kernelSize: 2, padding: 'same' })),
  'depthwise and separable convolutions': () =>
    sequential(
      L.depthwiseConv2d({ ...picture, kernelSize: 3, depthMultiplier: 2, padding: 'same', activation: 'relu' }),
      L.separableConv2d({ filters: 5, kernelSize: 3, strides: 2, padding: 'same' }),
    ),
  'transposed convolutions': () =>
    sequential(
      L.conv2dTranspose({ ...picture, filters: 4, kernelSize: 3, strides: 2, padding: 'same' }),
      L.conv2dTranspose({ filters: 2, kernelSize: 2, strides: 3, padding: 'valid' }),
    ),
  'pooling of pictures': () =>
    sequential(
      L.maxPooling2d({ ...picture, poolSize: 2, padding: 'same' }),
      L.averagePooling2d({ poolSize: [2, 3], strides: [1, 2], padding: 'same' }),
      L.globalAveragePooling2d({}),
    ),
  'pooling of sequences': () =>
    sequential(
      L.maxPooling1d({ ...steps, poolSize: 2, strides: 1 }),
      L.averagePooling1d({ poolSize: 2 }),
      L.globalMaxPooling1d(),
    ),
  'largest of pictures': () => sequential(L.globalMaxPooling2d({ inputShape: [4, 3, 5], dataFormat: 'channelsLast' })),
  'batch normalization': () =>
    sequential(
      L.conv2d({ ...picture, filters: 4, kernelSize: 3, useBias: false }),
      L.batchNormalization({}),
      L.activation({ activation: 'relu' }),
      L.flatten(),
      L.dense({ units: 3 }),
      L.batchNormalization({ scale: false, epsilon: 0.01 }),
    ),
  'layer normalization': () =>
    sequential(L.layerNormalization({ ...steps, epsilon: 0.01 }), L.layerNormalization({ center: false })),
  shapes: () =>
    sequential(
      L.reshape({ inputShape: [24], targetShape: [2, 3, 4] }),
      L.permute({ dims: [3, 1, 2] }),
      L.flatten(),
      L.repeatVector({ n: 3 }),
    ),
  'padding, cropping and enlarging': () =>
    sequential(
      L.zeroPadding2d({
        ...picture,
        padding: [
          [1, 2],
          [0, 3],
        ],
      }),
      L.cropping2D({
        cropping: [
          [1, 0],
          [2, 1],
        ],
      }),
      L.upSampling2d({ size: [2, 3] }),
      L.upSampling2d({ size: [2, 2], interpolation: 'bilinear' }),
    ),
  'an embedding and an LSTM': () =>
    sequential(
      L.embedding({ inputDim: 7, outputDim: 4, inputLength: 6 }),
      L.lstm({ ...plain, units: 5, returnSequences: true }),
      L.lstm({ ...plain, units: 3, recurrentActivation: 'sigmoid', activation: 'relu' }),
    ),
  'GRU and SimpleRNN': () =>
    sequential(
      L.gru({ ...plain, ...steps, units: 5, returnSequences: true, goBackwards: true }),
      L.simpleRNN({ ...plain, units: 3, returnSequences: true }),
      L.gru({ ...plain, units: 2, useBias: false }),
    ),
  'recurrent layers in both directions': () =>
    sequential(
      L.bidirectional({
        ...steps,
        layer: L.lstm({ ...plain, units: 3, returnSequences: true }) as layers.RNN,
        mergeMode: 'concat',
      }),
      L.bidirectional({ layer: L.gru({ ...plain, units: 4, returnSequences: true }) as layers.RNN, mergeMode: 'sum' }),
      L.timeDistributed({ layer: L.dense({ units: 3, activation: 'tanh' }) }),
      L.bidirectional({ layer: L.simpleRNN({ ...plain, units: 2 }) as layers.RNN, mergeMode: 'ave' }),
    ),
  branches: () => {
    const a = layers.input({ shape: [4], name: 'a' });
    const b = layers.input({ shape: [4], name: 'b' });
    const left = L.dense({ units: 4, name: 'left' }).apply(a) as layers.SymbolicTensor;
    const sum = L.add().apply([left, b]) as layers.SymbolicTensor;
    const three = L.add().apply([left, a, b]) as layers.SymbolicTensor;
    const product = L.multiply().apply([sum, three]) as layers.SymbolicTensor;
    const mean = L.average().apply([product, a]) as layers.SymbolicTensor;
    const most = L.maximum().apply([mean, sum]) as layers.SymbolicTensor;
    const least = L.minimum().apply([most, three]) as layers.SymbolicTensor;
    const joined = L.concatenate({ axis: -1 }).apply([least, b]) as layers.SymbolicTensor;
    const out = L.dense({ units: 2, name: 'out' }).apply(joined) as layers.SymbolicTensor;
    return layers.model({ inputs: [a, b], outputs: [out, sum] });
  },
};

const run = async (path: string, inputs: ReadonlyMap<string, NumericArray>): Promise<NumericArray[]> => {
  const { program } = await openModel(path);
  return withSession(onnxruntimeEngine, program, {}, async (session) => {
    const feeds = new Map([...inputs.values()].map((array, index) => [session.inputNames[index]!, array]));
    const results = await session.run(feeds);
    return program.graph.outputs.map(({ name }) => results.get(name)!);
  });
};

const expectEqual = (found: readonly NumericArray[], wanted: readonly NumericArray[]): void => {
  expect(found.map(({ shape }) => shape)).toEqual(wanted.map(({ shape }) => shape));
  wanted.forEach(({ data }, output) => {
    const size = Math.max(...Array.from(data as Float32Array, Math.abs));
    data.forEach((number: number | bigint, index: number) => {
      expect(Math.abs(Number(number) - Number(found[output]!.data[index])) / size).toBeLessThan(2e-6);
    });
  });
};

describe('a network of TensorFlow.js layers', () => {
  test.each(Object.entries(networks))(
    'computes as a graph what TensorFlow.js computes, and goes back: %s',
    async (name, make) => {
      const model = make();
      randomise(model, 3);
      const folder = join(root, name.replaceAll(' ', '-'));
      await saveModel(model, folder, 64);
      const inputs = inputsOf(model, 5);
      const wanted = predict(model, inputs);
      expectEqual(await run(folder, inputs), wanted);
      const written = join(folder, 'written');
      mkdirSync(written);
      await tensorflowJsFormat.write(await openModel(folder), written, { weights: 'float32', shard_bytes: 1024 }, {});
      const again = await loadModel(written);
      expectEqual(predict(again, inputs), wanted);
      for (const [index, weight] of model.getWeights().entries())
        expect([...again.getWeights()[index]!.dataSync()]).toEqual([...weight.dataSync()]);
    },
  );
});
