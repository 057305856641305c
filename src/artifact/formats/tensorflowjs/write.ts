import { join } from 'node:path';
import { CompressError } from '../../../errors.ts';
import type { Graph, Node, Program } from '../../../ir/graph.ts';
import { readFloats } from '../../../ir/read.ts';
import { StagedFile } from '../../staged-file.ts';
import type { WriteOptions, WrittenFile } from '../../written-file.ts';
import { toLayer } from './arrangement.ts';
import { buildLayers } from './build.ts';
import { encodeWeight, type WeightForm } from './encode-weight.ts';
import { type KeptLayers, layersKey } from './open.ts';
import { readTopology } from './topology.ts';

export interface LayersWriteOptions {
  readonly weights: WeightForm;
  readonly shardBytes: number;
}

/** The name of the file to load. */
export const modelFileName = 'model.json';

const keptLayers = (program: Program): KeptLayers => {
  const text = program.metadata.get(layersKey);
  if (text !== undefined) return JSON.parse(text);
  throw new CompressError({
    code: 'unsupported',
    message: 'the model was not read from TensorFlow.js layers, and graphs cannot be turned into layers',
    hint: 'Write onnx and load it with onnxruntime-web, or start from a model in layers format.',
  });
};

/** What a node says of itself: all of this must be as the layers give it. */
const describe = (node: Node): string =>
  [
    node.op,
    node.inputs.map((value) => value?.name ?? '').join(' '),
    node.outputs.map((value) => value?.name ?? '').join(' '),
  ].join(' | ');

/** @throws 'unsupported' naming the first node that the layers do not give. */
const checkSame = (found: Graph, wanted: Graph): void => {
  const known = new Set(wanted.nodes.map(describe));
  const strange = found.nodes.find((node) => !known.has(describe(node)));
  if (!strange && found.nodes.length === wanted.nodes.length) return;
  throw new CompressError({
    code: 'unsupported',
    message: strange
      ? `the graph is not that of its layers any more: ${strange.op} (${strange.name}) belongs to none`
      : `the graph is not that of its layers any more: it has ${found.nodes.length} of ${wanted.nodes.length} nodes`,
    where: { node: strange?.name ?? '' },
    hint: 'Only weights may change: quantize weights or train them, and leave activations and layers as they are.',
  });
};

/** The weights of the layers as the graph now holds them, in the order of the files. */
const layerWeights = (
  program: Program,
  kept: KeptLayers,
): { name: string; shape: readonly number[]; numbers: Float32Array }[] => {
  const unread = kept.weights.map((weight) => ({ ...weight, read: (): never[] => [] }));
  const wanted = buildLayers(readTopology(kept.modelTopology, layersKey), unread, layersKey);
  checkSame(program.graph, wanted.program.graph);
  const constants = new Map([...program.graph.initializers].map((value) => [value.name, value.tensor]));
  return kept.weights.flatMap(({ name, shape }) => {
    const placed = wanted.placed.get(name);
    if (!placed) return [];
    const tensor = constants.get(name);
    const expected = placed.arrangement.shape;
    if (tensor?.shape.join() !== expected.join())
      throw new CompressError({
        code: 'unsupported',
        message: `the weight ${name} has shape [${tensor?.shape.join(', ') ?? ''}] in the graph, its layer wants [${expected.join(', ')}]`,
        where: { tensor: name },
        hint: 'Layers cannot change their sizes here.',
      });
    return [{ name, shape, numbers: toLayer(placed.arrangement, readFloats(tensor)) }];
  });
};

const writeFile = async (path: string, bytes: Uint8Array): Promise<WrittenFile> => {
  const file = await StagedFile.create(path);
  try {
    await file.write(bytes);
    await file.commit();
  } catch (error) {
    await file.discard();
    throw error;
  }
  return { path, byteLength: bytes.byteLength };
};

/**
 * Writes a model in layers format: model.json with the topology as it was read, and the present weights in shards.
 * @throws 'unsupported' for graphs that were not read from layers, or changed in more than their weights.
 */
export const writeLayersModel = async (
  program: Program,
  directory: string,
  { weights: form, shardBytes }: LayersWriteOptions,
  options: WriteOptions = {},
): Promise<WrittenFile[]> => {
  const kept = keptLayers(program);
  const weights = layerWeights(program, kept);
  const encoded = weights.map((weight) => ({ ...weight, ...encodeWeight(weight.numbers, form) }));
  const bytes = Buffer.concat(encoded.map((weight) => weight.bytes));
  const count = Math.max(1, Math.ceil(bytes.byteLength / shardBytes));
  const files: WrittenFile[] = [];
  const paths: string[] = [];
  for (let index = 0; index < count; index++) {
    options.signal?.throwIfAborted();
    const name = `group1-shard${index + 1}of${count}.bin`;
    const part = bytes.subarray(index * shardBytes, (index + 1) * shardBytes);
    files.push(await writeFile(join(directory, name), part));
    paths.push(name);
    options.onProgress?.(Math.min(bytes.byteLength, (index + 1) * shardBytes), bytes.byteLength, name);
  }
  const json = {
    format: 'layers-model',
    generatedBy: 'modelpress',
    convertedBy: null,
    modelTopology: kept.modelTopology,
    weightsManifest: [
      {
        paths,
        weights: encoded.map(({ name, shape, quantization }) => ({
          name,
          shape,
          dtype: 'float32',
          ...(quantization ? { quantization } : {}),
        })),
      },
    ],
  };
  files.push(await writeFile(join(directory, modelFileName), new TextEncoder().encode(`${JSON.stringify(json)}\n`)));
  return files;
};
