import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { CompressError } from '../../../errors.ts';
import { decodeElements } from '../../../ir/elements.ts';
import { elementCount } from '../../../ir/shape.ts';

const quantizationSchema = z.object({
  dtype: z.enum(['uint8', 'uint16', 'float16']),
  scale: z.number().optional(),
  min: z.number().optional(),
});

const weightSchema = z.object({
  name: z.string(),
  shape: z.array(z.number().int().nonnegative()),
  dtype: z.string(),
  quantization: quantizationSchema.optional(),
});

const groupSchema = z.object({ paths: z.array(z.string()), weights: z.array(weightSchema) });

const manifestSchema = z.array(groupSchema);

/** One weight of the files; numbers are read when they are asked for. */
export interface StoredWeight {
  readonly name: string;
  readonly shape: readonly number[];
  read(): ArrayLike<number>;
}

const bytesOf = { float32: 4, int32: 4, bool: 1, uint8: 1, uint16: 2, float16: 2 } as const;
type StoredType = keyof typeof bytesOf;

const isStoredType = (dtype: string): dtype is StoredType => dtype in bytesOf;

type WeightEntry = z.infer<typeof weightSchema>;

const storedType = (entry: WeightEntry, file: string): StoredType => {
  const dtype = entry.quantization?.dtype ?? entry.dtype;
  if (isStoredType(dtype)) return dtype;
  throw new CompressError({
    code: 'unsupported',
    message: `the weight ${entry.name} is stored as ${dtype}`,
    where: { file, tensor: entry.name },
    hint: 'Weights are float32, int32 or bool, quantized ones uint8, uint16 or float16.',
  });
};

/** q·scale + min for integers; halves are numbers as they are. */
const dequantized = (entry: WeightEntry, dtype: StoredType, bytes: Uint8Array): ArrayLike<number> => {
  const codes = decodeElements(dtype, bytes, elementCount(entry.shape));
  const { quantization } = entry;
  if (!quantization || quantization.dtype === 'float16') return codes;
  const { scale = 1, min = 0 } = quantization;
  return Float32Array.from(codes, (code) => code * scale + min);
};

/** A file of a group inside the model's folder. @throws 'unsafe' for a path that leads out of it. */
const shardPath = (folder: string, name: string, file: string): string => {
  if (name.split(/[/\\]/).includes('..') || name.startsWith('/') || /^[a-z]+:/i.test(name))
    throw new CompressError({
      code: 'unsafe',
      message: `the shard ${JSON.stringify(name)} does not lie in the folder of the model`,
      where: { file },
    });
  return join(folder, name);
};

const readShards = (paths: readonly string[]): Uint8Array =>
  Buffer.concat(
    paths.map((path) => {
      try {
        return readFileSync(path);
      } catch (cause) {
        throw new CompressError({
          code: 'not-found',
          message: 'a shard of the weights is missing',
          where: { file: path },
          hint: 'A model in layers format is model.json and the .bin files that it names.',
          cause,
        });
      }
    }),
  );

/** The weights of a model.json and the files that they lie in. */
export interface StoredWeights {
  readonly weights: readonly StoredWeight[];
  readonly files: readonly string[];
}

/**
 * Reads a `weightsManifest`. @throws 'malformed' where the shards are shorter than the manifest says, 'not-found' for
 * missing ones, 'unsupported' for other element types, 'unsafe' for paths out of the folder.
 */
export const readWeights = (manifest: unknown, file: string): StoredWeights => {
  const parsed = manifestSchema.safeParse(manifest);
  if (!parsed.success)
    throw new CompressError({
      code: 'malformed',
      message: `the list of weights is not as expected: ${parsed.error.issues[0]?.message ?? ''}`,
      where: { file, key: ['weightsManifest', ...(parsed.error.issues[0]?.path ?? [])].join('.') },
    });
  const files: string[] = [];
  const weights = parsed.data.flatMap((group) => {
    const paths = group.paths.map((name) => shardPath(dirname(file), name, file));
    files.push(...paths);
    const bytes = readShards(paths);
    let begin = 0;
    const found = group.weights.map((entry): StoredWeight => {
      const dtype = storedType(entry, file);
      const from = begin;
      begin += elementCount(entry.shape) * bytesOf[dtype];
      const part = bytes.subarray(from, begin);
      return { name: entry.name, shape: entry.shape, read: () => dequantized(entry, dtype, part) };
    });
    if (begin !== bytes.byteLength)
      throw new CompressError({
        code: 'malformed',
        message: `the weights of ${group.paths.join(', ')} take ${begin} bytes, but the files hold ${bytes.byteLength}`,
        where: { file },
      });
    return found;
  });
  return { weights, files };
};
