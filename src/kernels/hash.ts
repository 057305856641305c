import { CompressError } from '../errors.ts';
import { addon } from './addon.ts';
import { callNative, type JobOptions, runJob } from './job.ts';
import type { NativeHasher } from './native.ts';

/** BLAKE3 of bytes, 64 lower-case hexadecimal characters. */
export const hashBytes = (bytes: Uint8Array): string => addon().hashBytes(bytes);

/**
 * BLAKE3 of a file, read in chunks of 8 MiB while the previous one is hashed.
 * @throws 'not-found', 'resource' when it cannot be read, 'interrupted'.
 */
export const hashFile = async (path: string, options: JobOptions = {}): Promise<string> =>
  runJob(options, (control) => addon().hashFile(path, control));

/** An incremental BLAKE3: the hash of all bytes given so far. */
export class Hasher {
  readonly #native: NativeHasher = new (addon().Hasher)();

  update(bytes: Uint8Array): this {
    this.#native.update(bytes);
    return this;
  }

  hex(): string {
    return this.#native.hex();
  }
}

/** One tensor of a safetensors file; `begin` and `end` count bytes from `dataOffset`. */
interface SafetensorsEntry {
  readonly name: string;
  /** The format's own name: 'F32', 'BF16', 'I64', … */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of their bytes; together they cover the data region without holes or overlaps. */
  readonly tensors: readonly SafetensorsEntry[];
  /** Position of the data region in the file, in bytes. */
  readonly dataOffset: number;
}

/**
 * The header of a safetensors file, validated wholly against the file's size; no tensor data is read.
 * @param source the file's path, or its first bytes (the whole header at least) with the file's size.
 * @throws 'malformed' with what is wrong, 'not-found', 'resource'.
 */
export const readSafetensorsHeader = (
  source: string | { readonly bytes: Uint8Array; readonly fileLength: number },
): SafetensorsHeader => {
  const read = () =>
    typeof source === 'string'
      ? addon().readSafetensorsHeaderFile(source)
      : addon().readSafetensorsHeaderBytes(source.bytes, source.fileLength);
  try {
    const { metadata, tensors, dataOffset } = callNative(read);
    return { metadata: new Map(metadata), tensors, dataOffset };
  } catch (error) {
    if (!(error instanceof CompressError) || typeof source !== 'string') throw error;
    throw new CompressError({ code: error.code, message: error.message, where: { file: source }, cause: error });
  }
};
