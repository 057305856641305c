import { join } from 'node:path';
import { CompressError } from '../../errors.ts';
import { CodebookTensor } from '../../ir/codebook-tensor.ts';
import type { Graph, Program, Value } from '../../ir/graph.ts';
import type { Model } from '../../ir/model.ts';
import { PackedTensor } from '../../ir/packed-tensor.ts';
import { FileTensor, type Tensor } from '../../ir/tensor.ts';
import { allGraphs } from '../../ir/walk.ts';
import { readOnnx } from '../formats/onnx/read.ts';
import { readJsonObject } from '../json-file.ts';
import { fileNames, type SnapshotFacts, snapshotSchema } from './schema.ts';

const readRange = (path: string, range: { readonly offset: number; readonly bytes: number }): Uint8Array =>
  new FileTensor('uint8', [range.bytes], path, range.offset).bytes();

const readFloatRange = (path: string, range: { readonly offset: number; readonly bytes: number }): Float32Array => {
  const bytes = readRange(path, range);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
};

const loadTensor = (entry: SnapshotFacts['tensors'][number], path: string): Tensor => {
  if (entry.kind === 'plain') return new FileTensor(entry.dtype, entry.shape, path, entry.range.offset);
  const scales = readFloatRange(path, entry.scales);
  const codes = readRange(path, entry.codes);
  if (entry.kind === 'codebook')
    return new CodebookTensor({
      ...entry.facts,
      name: entry.facts.name,
      ...{ codes, scales, table: readFloatRange(path, entry.table) },
    });
  return new PackedTensor({
    ...entry.facts,
    ...{ codes, scales },
    zeroPoints: entry.zeroPoints && readRange(path, entry.zeroPoints),
  });
};

/** The values of a graph by name. */
const valuesByName = (graph: Graph): Map<string, Value> => {
  const values = [...graph.inputs, ...graph.initializers, ...graph.nodes.flatMap((node) => [...node.outputs])];
  return new Map(values.flatMap((value) => (value ? [[value.name, value]] : [])));
};

/** Puts back what the program file does not say. Names and numbers that are not there are a broken snapshot. */
const restore = (
  program: Program,
  facts: SnapshotFacts,
  tensors: readonly Tensor[],
  broken: () => CompressError,
): void => {
  const graphs = [...allGraphs(program)];
  const named = graphs.map(valuesByName);
  const demand = <Found>(found: Found | undefined): Found => {
    if (found === undefined) throw broken();
    return found;
  };
  for (const place of facts.places) {
    const tensor = demand(tensors[place.tensor]);
    if ('value' in place) {
      demand(named[place.graph]?.get(place.value)).tensor = tensor;
      continue;
    }
    const node = demand(graphs[place.graph]?.nodes[place.node]);
    const attribute = demand(node.attributes.get(place.attribute));
    if (attribute.kind !== 'tensor') throw broken();
    node.attributes.set(place.attribute, { ...attribute, value: tensor });
  }
  for (const entry of facts.values) {
    const value = demand(named[entry.graph]?.get(entry.name));
    value.type = entry.type;
    value.docString = entry.docString ?? '';
    value.metadata.clear();
    for (const [key, text] of entry.metadata ?? []) value.metadata.set(key, text);
  }
  for (const { graph, node, attribute, value } of facts.floatAttributes)
    demand(graphs[graph]?.nodes[node]).attributes.set(
      attribute,
      typeof value === 'number' ? { kind: 'float', value } : { kind: 'floats', value },
    );
};

/**
 * The model that `saveSnapshot` wrote into a folder. Plain tensors stay in the folder's file, which must not change
 * while the model is in use; packed ones are read.
 * @throws malformed when the folder holds something else.
 */
export const loadSnapshot = (directory: string): Model => {
  const path = join(directory, fileNames.facts);
  const broken = (): CompressError =>
    new CompressError({
      code: 'malformed',
      message: 'this is no snapshot of this version, or a part of it was changed',
      where: { file: path },
      hint: 'Clear the cache and run again.',
    });
  const parsed = snapshotSchema.safeParse(readJsonObject(path));
  if (!parsed.success) throw broken();
  const facts = parsed.data;
  const program = readOnnx(join(directory, fileNames.program));
  const tensorFile = join(directory, fileNames.tensors);
  restore(
    program,
    facts,
    facts.tensors.map((entry) => loadTensor(entry, tensorFile)),
    broken,
  );
  return {
    program,
    family: facts.family,
    config: facts.config,
    companions: facts.companions.map((name) => ({ name, path: join(directory, fileNames.companions, name) })),
    origin: facts.origin,
  };
};
