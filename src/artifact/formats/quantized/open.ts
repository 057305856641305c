import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CompressError } from '../../../errors.ts';
import type { JsonObject } from '../../../families/family.ts';
import { readJsonObject } from '../../json-file.ts';
import { readAwq } from '../awq/read.ts';
import { readCompressedTensors } from '../compressed-tensors/read.ts';
import { readFloat8 } from '../float8/read.ts';
import { readGptq } from '../gptq/read.ts';
import type { SafetensorsSource } from '../safetensors/open.ts';
import type { QuantizationConfig } from './config.ts';
import { type QuantizedModule, withModules } from './modules.ts';

/** Files beside config.json that older tools describe their quantization in. */
const sideFiles = ['quantize_config.json', 'quant_config.json'] as const;

const readers: Readonly<Record<string, (source: SafetensorsSource, config: QuantizationConfig) => QuantizedModule[]>> =
  {
    gptq: readGptq,
    awq: readAwq,
    'compressed-tensors': readCompressedTensors,
    fp8: readFloat8,
  };

const isRecord = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The files of a folder, beside its configuration and weights, that decide how its weights are read. */
export const descriptionFiles = (folder: string): string[] =>
  sideFiles.map((name) => join(folder, name)).filter((path) => existsSync(path));

/** How a checkpoint folder is quantized: `quantization_config` of its config.json, or a file of its own beside it. */
const describe = (folder: string, config: JsonObject): QuantizationConfig | undefined => {
  for (const key of ['quantization_config', 'compression_config'])
    if (isRecord(config[key])) return { value: config[key], file: join(folder, 'config.json'), key };
  const name = sideFiles.find((side) => existsSync(join(folder, side)));
  return name && { value: readJsonObject(join(folder, name)), file: join(folder, name), key: '' };
};

/** The method's name; files of their own often leave it out. */
const methodOf = ({ value, file }: QuantizationConfig): unknown => {
  if (value.quant_method !== undefined) return value.quant_method;
  if (value.w_bit !== undefined || file.endsWith('quant_config.json')) return 'awq';
  return file.endsWith('quantize_config.json') ? 'gptq' : undefined;
};

/**
 * A checkpoint's tensors with quantized weights as packed ones, by what its configuration says; the tensors themselves
 * where it says nothing. Reads no weight.
 * @throws unsupported for methods that cannot be read; everything that is wrong with the description and the tensors.
 */
export const openQuantized = (folder: string, config: JsonObject, tensors: SafetensorsSource): SafetensorsSource => {
  const description = describe(folder, config);
  if (!description) return tensors;
  const method = methodOf(description);
  const read = typeof method === 'string' && Object.hasOwn(readers, method) ? readers[method] : undefined;
  if (!read)
    throw new CompressError({
      code: 'unsupported',
      message: `the checkpoint is quantized by ${typeof method === 'string' ? method : 'a method without a name'}; known are ${Object.keys(readers).join(', ')}`,
      where: { file: description.file, key: [description.key, 'quant_method'].filter(Boolean).join('.') },
      hint: 'Start from the checkpoint that has not been quantized yet.',
    });
  return withModules(tensors, read(tensors, description));
};

/** A configuration without what it says of quantization: the graph says it now. */
export const withoutQuantization = (config: JsonObject): JsonObject => {
  const { quantization_config: _, compression_config: __, ...rest } = config;
  return rest;
};
