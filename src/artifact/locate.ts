import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CompressError } from '../errors.ts';
import { hasSafetensors } from './formats/huggingface/open.ts';
import { isLayersModel } from './formats/tensorflowjs/open.ts';
import { readJsonObject } from './json-file.ts';
import { manifestName, readManifest } from './manifest.ts';

/** What a path names. `folder` is where companion files are. */
export type Location =
  | { readonly kind: 'onnx'; readonly file: string; readonly folder: string }
  | { readonly kind: 'checkpoint'; readonly folder: string }
  | { readonly kind: 'safetensors'; readonly file: string }
  | { readonly kind: 'tensorflowjs'; readonly file: string; readonly folder: string };

const onnxAt = (file: string): Location => {
  const folder = dirname(file);
  return { kind: 'onnx', file, folder: basename(folder) === 'onnx' ? dirname(folder) : folder };
};

const locateFile = (file: string): Location => {
  if (file.endsWith('.safetensors')) {
    const folder = dirname(file);
    return hasSafetensors(folder) && existsSync(join(folder, 'config.json'))
      ? { kind: 'checkpoint', folder }
      : { kind: 'safetensors', file };
  }
  if (/\.(bin|pt|pth|ckpt)$/.test(file))
    throw new CompressError({
      code: 'unsupported',
      message: 'this is a PyTorch pickle, which can run any program when it is loaded',
      where: { file },
      hint: 'Convert it to safetensors once (save_pretrained(folder, safe_serialization=True)) and pass the folder.',
    });
  if (file.endsWith('.json')) return layersAt(file);
  return onnxAt(file);
};

const layersName = 'model.json';

const layersAt = (file: string): Location => {
  const json = readJsonObject(file);
  if (isLayersModel(json) || json.format === 'graph-model')
    return { kind: 'tensorflowjs', file, folder: dirname(file) };
  throw new CompressError({
    code: 'unsupported',
    message: 'this JSON file describes no model that is known',
    where: { file },
    hint: 'Pass the folder of a checkpoint, or the model.json of a TensorFlow.js model in layers format.',
  });
};

const onnxFilesIn = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.endsWith('.onnx'))
        .sort()
    : [];

/** The one model among the ONNX files of a folder: model.onnx, or the only one. */
const chooseOnnx = (folder: string, names: readonly string[]): string | undefined => {
  if (names.includes('model.onnx')) return join(folder, 'model.onnx');
  if (names.length <= 1) return names[0] && join(folder, names[0]);
  throw new CompressError({
    code: 'usage',
    message: `the folder holds several models: ${names.join(', ')}`,
    where: { file: folder },
    hint: 'Pass the path of one of them.',
  });
};

/** Outputs say in their manifest which file to open. */
const locateOutput = (folder: string): Location | undefined => {
  const entries = (readManifest(folder)?.formats ?? []).flatMap(({ entry }) => (entry === undefined ? [] : [entry]));
  if (entries.length > 1)
    throw new CompressError({
      code: 'usage',
      message: `the output holds its model in several forms: ${entries.join(', ')}`,
      where: { file: folder },
      hint: 'Pass the path of one of them.',
    });
  return entries[0] === undefined ? undefined : locateFile(join(folder, entries[0]));
};

/**
 * Finds the model that a path names: an .onnx file, an output folder, a checkpoint folder (preferred where a folder
 * also holds an export of it), a folder with model.onnx or onnx/model.onnx, or the model.json of TensorFlow.js layers.
 * @throws not-found, usage where the choice is the user's, unsupported for pickles.
 */
export const locateModel = (path: string): Location => {
  const facts = statSync(path, { throwIfNoEntry: false });
  if (!facts)
    throw new CompressError({ code: 'not-found', message: 'there is no such file or folder', where: { file: path } });
  if (!facts.isDirectory()) return locateFile(path);
  if (existsSync(join(path, manifestName))) {
    const output = locateOutput(path);
    if (output) return output;
  }
  if (hasSafetensors(path)) return { kind: 'checkpoint', folder: path };
  const file = chooseOnnx(path, onnxFilesIn(path)) ?? chooseOnnx(join(path, 'onnx'), onnxFilesIn(join(path, 'onnx')));
  if (file) return onnxAt(file);
  if (existsSync(join(path, layersName))) return layersAt(join(path, layersName));
  if (existsSync(join(path, 'config.json'))) return { kind: 'checkpoint', folder: path };
  throw new CompressError({
    code: 'not-found',
    message: 'the folder holds no model',
    where: { file: path },
    hint: 'A model is an .onnx file, a folder with model.onnx or onnx/model.onnx, a checkpoint folder with config.json and safetensors, or a folder with the model.json of TensorFlow.js layers.',
  });
};
