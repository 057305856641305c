import { closeSync, openSync, readSync } from 'node:fs';
import { CompressError, internalError } from '../errors.ts';
import { byteLengthOf, type DataType } from './data-type.ts';
import { elementCount } from './shape.ts';

/**
 * A constant array. Shapes are static. Bytes are little-endian, row-major, sub-byte types packed low bits first
 * over the flattened tensor (ONNX raw_data). Reading is lazy: `bytes()` may read a file each time it is called,
 * so callers keep the result only as long as they need it. A tensor is never changed in place.
 */
export interface Tensor {
  readonly kind: 'memory' | 'file' | 'packed' | 'strings' | 'derived';
  readonly dtype: DataType;
  readonly shape: readonly number[];
  /** Bytes of the plain (unpacked) array. */
  readonly byteLength: number;
  bytes(): Uint8Array;
}

export class MemoryTensor implements Tensor {
  readonly kind = 'memory';
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly #bytes: Uint8Array;

  /** @throws internal error when the number of bytes does not belong to dtype and shape. */
  constructor(dtype: DataType, shape: readonly number[], bytes: Uint8Array) {
    this.dtype = dtype;
    this.shape = shape;
    this.byteLength = byteLengthOf(dtype, elementCount(shape));
    if (bytes.byteLength !== this.byteLength)
      throw internalError(
        `${bytes.byteLength} bytes given for a ${dtype} tensor [${shape.join(', ')}] of ${this.byteLength}`,
      );
    this.#bytes = bytes;
  }

  bytes(): Uint8Array {
    return this.#bytes;
  }
}

/** A range of a file, validated against the file's size by whoever opens it; read anew at each call. */
export class FileTensor implements Tensor {
  readonly kind = 'file';
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly path: string;
  readonly byteOffset: number;

  constructor(dtype: DataType, shape: readonly number[], path: string, byteOffset: number) {
    this.dtype = dtype;
    this.shape = shape;
    this.byteLength = byteLengthOf(dtype, elementCount(shape));
    this.path = path;
    this.byteOffset = byteOffset;
  }

  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.byteLength);
    this.readInto(bytes, 0);
    return bytes;
  }

  /** Reads `target.byteLength` bytes from `begin` (counted from the tensor's first byte). */
  readInto(target: Uint8Array, begin: number): void {
    const file = openSync(this.path, 'r');
    try {
      let done = 0;
      while (done < target.byteLength) {
        const want = Math.min(target.byteLength - done, 1 << 30);
        const got = readSync(file, target, done, want, this.byteOffset + begin + done);
        if (got === 0)
          throw new CompressError({
            code: 'malformed',
            message: `the file ends before the tensor does (${this.byteLength} bytes from ${this.byteOffset})`,
            where: { file: this.path, byteOffset: this.byteOffset + begin + done },
            hint: 'The file was cut short or changed while it was being read.',
          });
        done += got;
      }
    } finally {
      closeSync(file);
    }
  }
}

/** A string tensor: UTF-8 byte strings, one an element. It has no plain bytes. */
export class StringTensor implements Tensor {
  readonly kind = 'strings';
  readonly dtype = 'string';
  readonly byteLength = 0;
  readonly shape: readonly number[];
  readonly strings: readonly Uint8Array[];

  constructor(shape: readonly number[], strings: readonly Uint8Array[]) {
    this.shape = shape;
    this.strings = strings;
  }

  bytes(): Uint8Array {
    throw internalError('a string tensor has no plain bytes');
  }
}

/** A tensor computed from others when it is read (a transpose, a slice, a concatenation); nothing is kept. */
export class DerivedTensor implements Tensor {
  readonly kind = 'derived';
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly #compute: () => Uint8Array;

  constructor(dtype: DataType, shape: readonly number[], compute: () => Uint8Array) {
    this.dtype = dtype;
    this.shape = shape;
    this.byteLength = byteLengthOf(dtype, elementCount(shape));
    this.#compute = compute;
  }

  bytes(): Uint8Array {
    const bytes = this.#compute();
    if (bytes.byteLength !== this.byteLength)
      throw internalError(`a derived tensor gave ${bytes.byteLength} bytes where ${this.byteLength} belong`);
    return bytes;
  }
}
