import { basename } from 'node:path';
import { CompressError } from '../../../errors.ts';
import type { Tensor } from '../../../ir/tensor.ts';
import { StagedFile } from '../../staged-file.ts';
import { writeTensor } from '../../write-tensor.ts';
import type { WriteOptions, WrittenFile } from '../../written-file.ts';
import { safetensorsName } from './data-types.ts';

export interface NamedTensor {
  readonly name: string;
  readonly tensor: Tensor;
}

/** The header ends, and the data begins, at a multiple of this many bytes. */
const headerAlignment = 8;

/** Length prefix and header, padded with spaces; entries in the given order, metadata sorted by key. */
const headerBytes = (tensors: readonly NamedTensor[], metadata: Readonly<Record<string, string>>): Uint8Array => {
  const entries: [string, unknown][] = [];
  const texts = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  if (texts.length > 0) entries.push(['__metadata__', Object.fromEntries(texts)]);
  let begin = 0;
  for (const { name, tensor } of tensors) {
    const end = begin + tensor.byteLength;
    entries.push([
      name,
      { dtype: safetensorsName(tensor.dtype, name), shape: tensor.shape, data_offsets: [begin, end] },
    ]);
    begin = end;
  }
  const members = entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  const json = new TextEncoder().encode(`{${members.join(',')}}`);
  const length = Math.ceil(json.byteLength / headerAlignment) * headerAlignment;
  const bytes = new Uint8Array(8 + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, 8);
  return bytes;
};

const refuseRepeatedNames = (tensors: readonly NamedTensor[]): void => {
  const seen = new Set<string>(['__metadata__']);
  for (const { name } of tensors) {
    if (seen.has(name))
      throw new CompressError({
        code: 'mismatch',
        message: `a safetensors file cannot hold the name ${name} twice`,
        where: { tensor: name },
      });
    seen.add(name);
  }
};

/**
 * Writes a safetensors file, tensors in the given order, one at a time in memory. The file appears when it is complete.
 * The same tensors give the same bytes.
 */
export const writeSafetensors = async (
  path: string,
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
  options: WriteOptions = {},
): Promise<WrittenFile> => {
  refuseRepeatedNames(tensors);
  const header = headerBytes(tensors, metadata);
  const total = tensors.reduce((sum, { tensor }) => sum + tensor.byteLength, header.byteLength);
  const file = await StagedFile.create(path);
  try {
    await file.write(header);
    for (const { name, tensor } of tensors) {
      options.signal?.throwIfAborted();
      await writeTensor(file, tensor);
      options.onProgress?.(file.byteLength, total, `${basename(path)}: ${name}`);
    }
    await file.commit();
  } catch (error) {
    await file.discard();
    throw error;
  }
  return { path, byteLength: file.byteLength };
};
