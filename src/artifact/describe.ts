import { statSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { CompressError } from '../errors.ts';
import { familyOf } from '../families/index.ts';
import type { DescribedFile, ModelDescription } from './describe/description.ts';
import { constantsOf, describeGraph, tallyDataTypes } from './describe/graph.ts';
import { openCheckpoint } from './formats/huggingface/open.ts';
import { openSafetensors, type SafetensorsSource } from './formats/safetensors/open.ts';
import { type Location, locateModel } from './locate.ts';
import { readManifest } from './manifest.ts';
import { inputFiles, openModel } from './open.ts';

type Described = Omit<ModelDescription, 'path' | 'bytes' | 'files' | 'manifest'> & {
  readonly files: readonly string[];
};

const tensorsOf = (source: SafetensorsSource) => source.names.map((name) => source.get(name));

/** Why no graph can be built for a checkpoint, or its family's name. */
const familyOrNote = (folder: string): { readonly family?: string; readonly note?: string } => {
  try {
    return { family: familyOf(openCheckpoint(folder).config, `${folder}/config.json`).name };
  } catch (error) {
    if (error instanceof CompressError && error.code === 'unsupported') return { note: error.message };
    throw error;
  }
};

const describeCheckpoint = async (folder: string): Promise<Described> => {
  const { tensors, companions } = openCheckpoint(folder);
  const { family, note } = familyOrNote(folder);
  const program = family === undefined ? undefined : (await openModel(folder)).program;
  return {
    kind: 'checkpoint',
    family,
    note,
    graph: program && describeGraph(program),
    byDataType: tallyDataTypes(tensorsOf(tensors)),
    files: [...tensors.files, ...companions.map(({ path }) => path)],
  };
};

/** A model in one file, of the graph that it is. */
const describeFile = async (kind: 'onnx' | 'tensorflowjs', file: string): Promise<Described> => {
  const model = await openModel(file);
  return {
    kind,
    family: model.family,
    note: undefined,
    graph: describeGraph(model.program),
    byDataType: tallyDataTypes(constantsOf(model.program).map(({ tensor }) => tensor)),
    files: inputFiles(file, model),
  };
};

const describeSafetensors = (file: string): Described => ({
  kind: 'safetensors',
  family: undefined,
  note: 'weights alone: without a config.json beside it nothing says what they mean',
  graph: undefined,
  byDataType: tallyDataTypes(tensorsOf(openSafetensors(file))),
  files: [file],
});

const describeLocation = async (location: Location): Promise<Described> => {
  if (location.kind === 'onnx' || location.kind === 'tensorflowjs') return describeFile(location.kind, location.file);
  return location.kind === 'checkpoint' ? describeCheckpoint(location.folder) : describeSafetensors(location.file);
};

const folderOf = (location: Location): string =>
  location.kind === 'safetensors' ? dirname(location.file) : location.folder;

const roleOf = (path: string, location: Location): DescribedFile['role'] => {
  if (location.kind !== 'checkpoint' && path === location.file) return 'model';
  if (path.endsWith('.safetensors')) return 'shard';
  return /\.(json|txt|model|tiktoken|jinja|md)$|LICEN|NOTICE/i.test(path) ? 'companion' : 'external data';
};

/**
 * What a model is made of: see `locateModel` for what `path` may be. Reads headers and configuration, no weight.
 * Checkpoints of unknown families are described without a graph.
 */
export const describeModel = async (path: string): Promise<ModelDescription> => {
  const location = locateModel(resolve(path));
  const folder = folderOf(location);
  const { files, ...described } = await describeLocation(location);
  const listed = files.map(
    (file): DescribedFile => ({
      path: relative(folder, file).replaceAll('\\', '/'),
      role: roleOf(file, location),
      bytes: statSync(file).size,
    }),
  );
  return {
    path,
    ...described,
    bytes: listed.filter(({ role }) => role !== 'companion').reduce((sum, file) => sum + file.bytes, 0),
    files: listed,
    manifest: readManifest(folder),
  };
};
