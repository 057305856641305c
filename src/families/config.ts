import { dirname, join } from 'node:path';
import type { z } from 'zod';
import { CompressError, CompressErrors } from '../errors.ts';
import type { JsonObject, TensorSource } from './family.ts';

/** The file that a configuration's problems are reported at. */
export const configFile = ({ origin = '.' }: TensorSource): string =>
  join(/\.(safetensors|json)$/.test(origin) ? dirname(origin) : origin, 'config.json');

/**
 * A configuration in the form that a family works with. Keys that the schema does not name are let pass: checkpoints
 * carry many that do not change the graph.
 * @throws all missing and wrong keys together.
 */
export const parseConfig = <T>(schema: z.ZodType<T>, config: JsonObject, weights: TensorSource): T => {
  if (config.quantization_config)
    throw unsupportedConfig(
      weights,
      'quantization_config',
      'the checkpoint is already quantized',
      'Start from the original weights.',
    );
  const parsed = schema.safeParse(config);
  if (parsed.success) return parsed.data;
  throw new CompressErrors(
    parsed.error.issues.map((issue) => {
      const key = issue.path.join('.');
      const found = issue.path.reduce<unknown>(
        (value, part) => (value as Record<PropertyKey, unknown> | undefined)?.[part],
        config,
      );
      return new CompressError({
        code: 'malformed',
        message:
          found === undefined ? `the key ${key} is missing` : `${key} is ${JSON.stringify(found)}: ${issue.message}`,
        where: { file: configFile(weights), key },
      });
    }),
  );
};

/** A configuration that is valid but asks for something the graph cannot express. */
export const unsupportedConfig = (weights: TensorSource, key: string, message: string, hint?: string): CompressError =>
  new CompressError({
    code: 'unsupported',
    message,
    where: { file: configFile(weights), key },
    hint: hint ?? 'Export the model to ONNX elsewhere and pass the .onnx file.',
  });
