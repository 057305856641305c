import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { CompressError } from '../../../errors.ts';
import type { JsonObject } from '../../../families/family.ts';
import { castTensor } from '../../../families/lazy.ts';
import { isFloat } from '../../../ir/data-type.ts';
import type { Model } from '../../../ir/model.ts';
import { PackedTensor } from '../../../ir/packed-tensor.ts';
import { readFloats } from '../../../ir/read.ts';
import { DerivedTensor, type Tensor } from '../../../ir/tensor.ts';
import { bytesToFloat, floatToBytes, narrowFloats } from '../../../kernels/index.ts';
import type { Finding } from '../../../recipe/events.ts';
import type { WriteOptions, WrittenFile } from '../../written-file.ts';
import { type ScaleType, scaleTypes } from '../quantized/modules.ts';
import { type NamedTensor, writeSafetensors } from '../safetensors/write.ts';

export const weightsName = 'model.safetensors';

/** Option `dtype` of formats that write checkpoints. */
export const storageType = z
  .enum(['auto', ...scaleTypes])
  .default('auto')
  .describe('Element type of weights that are not quantized; auto: the one that config.json names.');

/** The element type that `auto` stands for: what config.json says, else float32. */
export const storageTypeOf = (choice: z.output<typeof storageType>, { config }: Model): ScaleType => {
  if (choice !== 'auto') return choice;
  const said = config?.torch_dtype ?? config?.dtype;
  return scaleTypes.find((type) => type === said) ?? 'float32';
};

/** Rounds a tensor to a type when it is written. @throws numeric where a number becomes infinite. */
export const storedAs = (name: string, tensor: Tensor, dtype: ScaleType): Tensor => {
  if (!isFloat(tensor.dtype) || (tensor.dtype === dtype && !(tensor instanceof PackedTensor))) return tensor;
  if (dtype !== 'float16') {
    const cast = castTensor(tensor, dtype);
    return cast instanceof PackedTensor ? new DerivedTensor(dtype, cast.shape, () => cast.bytes()) : cast;
  }
  return new DerivedTensor(dtype, tensor.shape, () => {
    const { bytes, nonFinite } = narrowFloats(readFloats(tensor), dtype);
    if (nonFinite > 0)
      throw new CompressError({
        code: 'numeric',
        message: `${nonFinite} numbers of this tensor are too large for ${dtype}`,
        where: { tensor: name },
        hint: 'Write the checkpoint with dtype: bfloat16 or float32.',
      });
    return bytes;
  });
};

/** What rounding scales to a type changes, over all modules; undefined where nothing changes. */
export const scaleFinding = (
  packed: readonly { readonly tensor: PackedTensor }[],
  dtype: ScaleType,
): Finding | undefined => {
  if (dtype === 'float32') return undefined;
  let changed = 0;
  let count = 0;
  let largest = 0;
  for (const { tensor } of packed) {
    const exact = tensor.facts.scales;
    const rounded = bytesToFloat(floatToBytes(exact, dtype), dtype);
    count += exact.length;
    for (let index = 0; index < exact.length; index++) {
      const change = Math.abs(rounded[index]! - exact[index]!);
      if (change === 0) continue;
      changed++;
      largest = Math.max(largest, change / Math.abs(exact[index]!));
    }
  }
  if (changed === 0) return undefined;
  const text = `${changed} of ${count} scales are rounded to ${dtype}, by at most ${largest.toExponential(1)} of their value`;
  return { kind: 'fact', text };
};

/** Writes config.json, further JSON files and the weights of a checkpoint. */
export const writeCheckpoint = async (
  directory: string,
  files: {
    readonly config: JsonObject;
    readonly json?: Readonly<Record<string, JsonObject>>;
    readonly tensors: readonly NamedTensor[];
  },
  context: WriteOptions,
): Promise<WrittenFile[]> => {
  const written = await writeSafetensors(join(directory, weightsName), files.tensors, { format: 'pt' }, context);
  for (const [name, value] of Object.entries({ ...files.json, 'config.json': files.config }))
    await writeFile(join(directory, name), `${JSON.stringify(value, null, 2)}\n`);
  return [written];
};

/** A configuration that says which element type the weights have. */
export const withStorageType = (config: JsonObject, dtype: ScaleType): JsonObject => ({
  ...config,
  ...(config.dtype === undefined || config.torch_dtype !== undefined ? { torch_dtype: dtype } : {}),
  ...(config.dtype === undefined ? {} : { dtype }),
});
