import { CompressError } from '../../../errors.ts';
import type { Program } from '../../../ir/graph.ts';
import { readJsonObject } from '../../json-file.ts';
import { buildLayers } from './build.ts';
import { readTopology } from './topology.ts';
import { readWeights } from './weights.ts';

/** Program metadata key: the layers that a graph was built from, so that it can be written back. */
export const layersKey = 'modelpress.tensorflowjs';

/** What is kept of a model.json beside the graph. */
export interface KeptLayers {
  readonly modelTopology: Readonly<Record<string, unknown>>;
  readonly weights: readonly { readonly name: string; readonly shape: readonly number[] }[];
}

/** Whether JSON is that of a model in layers format. */
export const isLayersModel = (json: Readonly<Record<string, unknown>>): boolean =>
  json.format === 'layers-model' || (json.modelTopology !== undefined && json.weightsManifest !== undefined);

const topologyIn = (json: Readonly<Record<string, unknown>>, file: string): Readonly<Record<string, unknown>> => {
  if (json.format === 'graph-model')
    throw new CompressError({
      code: 'unsupported',
      message: 'this is a graph model of TensorFlow.js; only models in layers format are known',
      where: { file },
      hint: 'Convert the Keras model with --output_format=tfjs_layers_model, or export it to ONNX.',
    });
  const { modelTopology } = json;
  if (typeof modelTopology === 'object' && modelTopology !== null && !Array.isArray(modelTopology))
    return modelTopology as Readonly<Record<string, unknown>>;
  throw new CompressError({
    code: 'malformed',
    message: 'model.json has no modelTopology',
    where: { file, key: 'modelTopology' },
  });
};

/** The graph of a TensorFlow.js model in layers format: model.json and the shards beside it. */
export const openLayersModel = (file: string): Program => {
  const json = readJsonObject(file);
  const modelTopology = topologyIn(json, file);
  const { weights } = readWeights(json.weightsManifest ?? [], file);
  const { program } = buildLayers(readTopology(modelTopology, file), weights, file);
  const kept: KeptLayers = { modelTopology, weights: weights.map(({ name, shape }) => ({ name, shape })) };
  program.metadata.set(layersKey, JSON.stringify(kept));
  return program;
};

/** model.json and its shards. */
export const layersModelFiles = (file: string): string[] => [
  file,
  ...readWeights(readJsonObject(file).weightsManifest ?? [], file).files,
];
