import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CompressError } from '../errors.ts';
import { type BuildOptions, type JsonObject, normaliseBuildOptions } from '../families/family.ts';
import { familyOf } from '../families/index.ts';
import type { Program } from '../ir/graph.ts';
import type { Model } from '../ir/model.ts';
import { FileTensor } from '../ir/tensor.ts';
import { allGraphs } from '../ir/walk.ts';
import { findCompanions } from './formats/huggingface/companions.ts';
import { openCheckpoint } from './formats/huggingface/open.ts';
import { readOnnx } from './formats/onnx/read.ts';
import { descriptionFiles, openQuantized, withoutQuantization } from './formats/quantized/open.ts';
import { restoreInputOrder } from './formats/quantized/restore-order.ts';
import { layersModelFiles, openLayersModel } from './formats/tensorflowjs/open.ts';
import { readJsonObject } from './json-file.ts';
import { type Location, locateModel } from './locate.ts';

/** Program metadata key: the family that built a graph, so that files say it. */
const familyKey = 'modelpress.family';

/** How checkpoints are built; means nothing for ONNX files. */
export type OpenOptions = Partial<BuildOptions>;

const configIn = (folder: string): JsonObject | undefined => {
  const path = join(folder, 'config.json');
  return existsSync(path) ? readJsonObject(path) : undefined;
};

const openFile = (file: string, folder: string): Model => {
  const program = readOnnx(file);
  return {
    program,
    family: program.metadata.get(familyKey),
    config: configIn(folder),
    companions: findCompanions(folder),
    origin: file,
  };
};

const openFolder = (folder: string, options: OpenOptions): Model => {
  const checkpoint = openCheckpoint(folder);
  const family = familyOf(checkpoint.config, join(folder, 'config.json'));
  const tensors = openQuantized(folder, checkpoint.config, checkpoint.tensors);
  const config = withoutQuantization(checkpoint.config);
  const program = family.build(config, tensors, normaliseBuildOptions(options));
  restoreInputOrder(program.graph);
  program.metadata.set(familyKey, family.name);
  return { program, family: family.name, config, companions: checkpoint.companions, origin: folder };
};

/** Layers have no companions: what stands beside model.json are its weights. */
const openLayers = (file: string): Model => ({
  program: openLayersModel(file),
  family: undefined,
  config: undefined,
  companions: [],
  origin: file,
});

/** No checkpoint can be built from weights alone. */
const weightsOnly = (file: string): CompressError =>
  new CompressError({
    code: 'unsupported',
    message: 'a safetensors file alone says nothing of the network that its weights belong to',
    where: { file },
    hint: 'Put the config.json of the model beside it and pass the folder.',
  });

/**
 * Opens a model: see `locateModel` for what `path` may be. No weight is read. Checkpoints are built by their
 * family.
 */
export const openModel = async (path: string, options: OpenOptions = {}): Promise<Model> => {
  const location = locateModel(resolve(path));
  if (location.kind === 'safetensors') throw weightsOnly(location.file);
  if (location.kind === 'tensorflowjs') return openLayers(location.file);
  return location.kind === 'onnx' ? openFile(location.file, location.folder) : openFolder(location.folder, options);
};

const externalFiles = (program: Program): string[] => {
  const paths = new Set<string>();
  for (const graph of allGraphs(program))
    for (const { tensor } of graph.initializers) if (tensor instanceof FileTensor) paths.add(tensor.path);
  return [...paths];
};

const filesOf = (location: Location, program: Program): string[] => {
  if (location.kind === 'safetensors') return [location.file];
  if (location.kind === 'tensorflowjs') return layersModelFiles(location.file);
  if (location.kind === 'onnx') return [location.file, ...externalFiles(program)];
  const { tensors, companions } = openCheckpoint(location.folder);
  return [...tensors.files, ...descriptionFiles(location.folder), ...companions.map((companion) => companion.path)];
};

/**
 * Every file whose bytes decide what `openModel(path)` gives: the model file and its external data, or the shards and
 * configuration of a checkpoint; and the companions. Sorted, each once, absolute.
 */
export const inputFiles = (path: string, model: Model): string[] =>
  [
    ...new Set([
      ...filesOf(locateModel(resolve(path)), model.program),
      ...model.companions.map((companion) => companion.path),
    ]),
  ].sort();
