import { readSync } from 'node:fs';
import { CompressError } from '../../../../errors.ts';

/** Protobuf wire types (the low three bits of a tag). */
export const wireTypes = { varint: 0, bit64: 1, lengthDelimited: 2, startGroup: 3, endGroup: 4, bit32: 5 } as const;

/** Bytes that are kept of a file while it is read from front to back. */
const windowBytes = 256 * 1024;

const strictText = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What a reader reads: bytes in memory, or a file through a window, so that large payloads can be left where they are. */
export type ByteSource =
  | { readonly kind: 'memory'; readonly bytes: Uint8Array; readonly name: string | undefined }
  | { readonly kind: 'file'; readonly descriptor: number; readonly path: string; readonly byteLength: number };

/**
 * Protobuf primitives read from front to back. No length is trusted: whatever is read must lie before `limit`, the end
 * of the innermost message, or a malformed error names file and byte.
 */
export class ByteReader {
  readonly source: ByteSource;
  /** Offset of the next byte. */
  position = 0;
  /** Offset after the last byte of the message being read. */
  limit: number;
  #window: Uint8Array;
  #windowStart = 0;

  constructor(source: ByteSource) {
    this.source = source;
    this.limit = source.kind === 'memory' ? source.bytes.byteLength : source.byteLength;
    this.#window = source.kind === 'memory' ? source.bytes : new Uint8Array(0);
  }

  get fileName(): string | undefined {
    return this.source.kind === 'file' ? this.source.path : this.source.name;
  }

  malformed(message: string, byteOffset: number = this.position): CompressError {
    const file = this.fileName;
    return new CompressError({
      code: 'malformed',
      message: `not a well-formed ONNX file: ${message}`,
      where: { ...(file === undefined ? {} : { file }), byteOffset },
      hint: 'The file is damaged, was cut short, or is not an ONNX model.',
    });
  }

  /** The next `length` bytes: a view for memory, a copy for a file. */
  bytes(length: number): Uint8Array {
    this.#require(length);
    const begin = this.position - this.#windowStart;
    if (begin >= 0 && begin + length <= this.#window.byteLength) {
      this.position += length;
      const view = this.#window.subarray(begin, begin + length);
      return this.source.kind === 'memory' ? view : view.slice();
    }
    const copy = new Uint8Array(length);
    this.#fill(copy, this.position);
    this.position += length;
    return copy;
  }

  skip(length: number): void {
    this.#require(length);
    this.position += length;
  }

  varint(): bigint {
    const begin = this.position;
    let low = 0;
    let scale = 1;
    for (let count = 0; count < 7; count++) {
      const byte = this.#byte();
      low += (byte & 0x7f) * scale;
      if (byte < 0x80) return BigInt(low);
      scale *= 128;
    }
    let result = BigInt(low);
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      result |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, result);
    }
    throw this.malformed('a number takes more than ten bytes', begin);
  }

  /** A signed 32-bit field: the low half of the varint, as every protobuf reader takes it. */
  int32(): number {
    return Number(BigInt.asIntN(32, this.varint()));
  }

  int64(): bigint {
    return BigInt.asIntN(64, this.varint());
  }

  /** A length prefix, checked against what is left of the message. */
  length(): number {
    const begin = this.position;
    const length = this.#smallVarint();
    if (length > this.limit - this.position)
      throw this.malformed(`${length} bytes are announced where ${this.limit - this.position} are left`, begin);
    return length;
  }

  /** A field's tag. Field number 0 does not exist. */
  tag(): { readonly field: number; readonly wireType: number } {
    const begin = this.position;
    const tag = this.#smallVarint();
    const field = Math.floor(tag / 8);
    if (field < 1 || field > 0x1fffffff) throw this.malformed(`${field} is no field number`, begin);
    return { field, wireType: tag % 8 };
  }

  fixed32(): number {
    const bytes = this.bytes(4);
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  }

  text(): string {
    const length = this.length();
    const begin = this.position;
    try {
      return strictText.decode(this.bytes(length));
    } catch (cause) {
      if (cause instanceof CompressError) throw cause;
      throw this.malformed('a name or text is not UTF-8', begin);
    }
  }

  #require(length: number): void {
    if (length > this.limit - this.position)
      throw this.malformed(`the data ends where ${length} more bytes belong (${this.limit - this.position} are left)`);
  }

  /** A varint below 2^53, for tags and lengths. */
  #smallVarint(): number {
    let result = 0;
    let scale = 1;
    for (let count = 0; count < 10; count++) {
      const byte = this.#byte();
      result += (byte & 0x7f) * scale;
      if (byte < 0x80) return result;
      scale *= 128;
    }
    throw this.malformed('a number takes more than ten bytes');
  }

  #byte(): number {
    if (this.position >= this.limit) this.#require(1);
    let index = this.position - this.#windowStart;
    if (index < 0 || index >= this.#window.byteLength) {
      this.#refill();
      index = this.position - this.#windowStart;
    }
    this.position++;
    return this.#window[index] ?? 0;
  }

  #refill(): void {
    if (this.source.kind === 'memory') return;
    const length = Math.min(windowBytes, this.source.byteLength - this.position);
    if (this.#window.byteLength !== length) this.#window = new Uint8Array(length);
    this.#fill(this.#window, this.position);
    this.#windowStart = this.position;
  }

  #fill(target: Uint8Array, begin: number): void {
    if (this.source.kind === 'memory') throw this.malformed('the data ends early', begin);
    let done = 0;
    while (done < target.byteLength) {
      const got = readSync(this.source.descriptor, target, done, target.byteLength - done, begin + done);
      if (got === 0) throw this.malformed('the file became shorter while it was being read', begin + done);
      done += got;
    }
  }
}
