import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { CompressError } from '../../../errors.ts';
import type { JsonObject } from '../../../families/family.ts';
import type { CompanionFile } from '../../../ir/model.ts';
import { readJsonObject } from '../../json-file.ts';
import { openSafetensors, type SafetensorsSource } from '../safetensors/open.ts';
import { openShards } from '../safetensors/shards.ts';
import { findCompanions } from './companions.ts';

/** A Hugging Face checkpoint folder: nothing but headers and configuration has been read. */
export interface Checkpoint {
  readonly directory: string;
  readonly config: JsonObject;
  readonly generationConfig?: JsonObject;
  readonly tensors: SafetensorsSource;
  readonly companions: readonly CompanionFile[];
}

const weightsName = 'model.safetensors';
const indexName = 'model.safetensors.index.json';

/** Whether a folder holds weights in safetensors form. */
export const hasSafetensors = (folder: string): boolean =>
  existsSync(join(folder, weightsName)) || existsSync(join(folder, indexName));

const openWeights = (folder: string): SafetensorsSource => {
  if (existsSync(join(folder, indexName))) return openShards(join(folder, indexName));
  if (existsSync(join(folder, weightsName))) return openSafetensors(join(folder, weightsName));
  const pickles = readdirSync(folder).filter((name) => /^pytorch_model.*\.bin$|\.(pt|pth|ckpt)$/.test(name));
  if (pickles.length > 0)
    throw new CompressError({
      code: 'unsupported',
      message: `the weights are only there as a pickle (${pickles[0]}), which can run any program when it is loaded`,
      where: { file: join(folder, pickles[0] ?? '') },
      hint: 'Convert it to safetensors once: in Python, load the model with transformers and call save_pretrained(folder, safe_serialization=True).',
    });
  throw new CompressError({
    code: 'not-found',
    message: `the folder has neither ${weightsName} nor ${indexName}`,
    where: { file: folder },
  });
};

/** Opens a checkpoint folder: config.json, weights in one or several safetensors files, and the files beside them. */
export const openCheckpoint = (folder: string): Checkpoint => {
  const configPath = join(folder, 'config.json');
  if (!existsSync(configPath))
    throw new CompressError({
      code: 'not-found',
      message: 'the checkpoint has no config.json, which says what its weights mean',
      where: { file: configPath },
    });
  const config = readJsonObject(configPath);
  const generationPath = join(folder, 'generation_config.json');
  return {
    directory: folder,
    config,
    ...(existsSync(generationPath) ? { generationConfig: readJsonObject(generationPath) } : {}),
    tensors: openWeights(folder),
    companions: findCompanions(folder),
  };
};
