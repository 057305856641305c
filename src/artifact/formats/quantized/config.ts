import type { z } from 'zod';
import { CompressError, CompressErrors } from '../../../errors.ts';
import type { JsonObject } from '../../../families/family.ts';

/** The description of how a checkpoint is quantized, and the file that it stands in. */
export interface QuantizationConfig {
  readonly value: JsonObject;
  readonly file: string;
  /** Keys of `file` above `value`, for messages. */
  readonly key: string;
}

/**
 * Reads a description with a schema that lets other keys be.
 * @throws everything that is wrong with it, with its place.
 */
export const parseConfig = <Parsed>(schema: z.ZodType<Parsed>, { value, file, key }: QuantizationConfig): Parsed => {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new CompressErrors(
    parsed.error.issues.map(
      (issue) =>
        new CompressError({
          code: issue.code === 'invalid_value' ? 'unsupported' : 'malformed',
          message: `the description of the quantization cannot be used: ${issue.message}`,
          where: { file, key: [...(key === '' ? [] : [key]), ...issue.path.map(String)].join('.') },
        }),
    ),
  );
};

/** A pattern over module paths that Python's `re.match` would take: it holds from the start of the path. */
export const modulePattern = (pattern: string, { file, key }: QuantizationConfig): RegExp => {
  try {
    return new RegExp(`^(?:${pattern})`);
  } catch (cause) {
    throw new CompressError({
      code: 'unsupported',
      message: `the module pattern ${pattern} is no regular expression that is understood here`,
      where: { file, key },
      cause,
    });
  }
};
