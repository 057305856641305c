import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import type { NumericArray } from '../../../../src/calibration/dataset.ts';
import { Random } from '../../../../src/random.ts';

export { layers, tf };

/** Random weights, large enough to show in the outputs; variances positive. */
export const randomise = (model: layers.LayersModel, seed: number): void => {
  const random = new Random(seed, 'weights');
  for (const layer of model.layers)
    layer.setWeights(
      layer.weights.map((weight) => {
        const shape = weight.shape.map(Number);
        const count = shape.reduce((product, length) => product * length, 1);
        const variance = weight.originalName.includes('variance');
        const numbers = Float32Array.from({ length: count }, () =>
          variance ? 0.5 + Math.abs(random.normal()) : 0.4 * random.normal(),
        );
        return tf.tensor(numbers, shape);
      }),
    );
};

/** Saves a model as tf.js does in browsers, in shards of at most `shardBytes`. */
export const saveModel = async (model: layers.LayersModel, folder: string, shardBytes = 1e9): Promise<string> => {
  mkdirSync(folder, { recursive: true });
  await model.save({
    save: async (artifacts) => {
      const data = artifacts.weightData;
      const bytes = Buffer.concat((Array.isArray(data) ? data : [data!]).map((part) => new Uint8Array(part)));
      const paths: string[] = [];
      for (let begin = 0; begin < Math.max(1, bytes.length); begin += shardBytes) {
        const name = `group1-shard${paths.length + 1}.bin`;
        writeFileSync(join(folder, name), bytes.subarray(begin, begin + shardBytes));
        paths.push(name);
      }
      const json = {
        format: 'layers-model',
        generatedBy: 'TensorFlow.js',
        convertedBy: null,
        modelTopology: artifacts.modelTopology,
        weightsManifest: [{ paths, weights: artifacts.weightSpecs }],
      };
      writeFileSync(join(folder, 'model.json'), JSON.stringify(json));
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
    },
  });
  return folder;
};

/** Loads a written model with tf.js itself. */
export const loadModel = async (folder: string): Promise<layers.LayersModel> => {
  const { readFileSync } = await import('node:fs');
  const json = JSON.parse(readFileSync(join(folder, 'model.json'), 'utf8'));
  const bytes = Buffer.concat(
    json.weightsManifest.flatMap((group: { paths: string[] }) =>
      group.paths.map((name) => readFileSync(join(folder, name))),
    ),
  );
  return layers.loadLayersModel({
    load: async () => ({
      modelTopology: json.modelTopology,
      weightSpecs: json.weightsManifest.flatMap((group: { weights: unknown[] }) => group.weights),
      weightData: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer,
    }),
  });
};

/** Random inputs of a model, a batch of 2; whole numbers where a layer looks them up. */
export const inputsOf = (model: layers.LayersModel, seed: number): Map<string, NumericArray> => {
  const random = new Random(seed, 'inputs');
  return new Map(
    model.inputs.map((input) => {
      const shape = input.shape.map((length, axis) => length ?? (axis === 0 ? 2 : 5));
      const count = shape.reduce((product, length) => product * length, 1);
      const name = input.name.replace(/:\d+$/, '');
      const isIds = model.layers.some((layer) => layer.getClassName() === 'Embedding');
      const data = isIds
        ? Float32Array.from({ length: count }, () => Math.floor(random.float() * 7))
        : Float32Array.from({ length: count }, () => random.normal());
      return [name, { dtype: 'float32', shape, data }] as const;
    }),
  );
};

/** What tf.js computes, by output in order. */
export const predict = (model: layers.LayersModel, inputs: ReadonlyMap<string, NumericArray>): NumericArray[] => {
  const tensors = [...inputs.values()].map(({ data, shape }) => tf.tensor(data as Float32Array, [...shape]));
  const results = model.predict(tensors.length === 1 ? tensors[0]! : tensors);
  return (Array.isArray(results) ? results : [results]).map((result) => ({
    dtype: 'float32',
    shape: result.shape,
    data: result.dataSync() as Float32Array,
  }));
};
