import { closeSync, openSync, readSync } from 'node:fs';
import { CompressError } from '../../../../errors.ts';
import { TensorProtoSchema } from '../generated/onnx_pb.ts';

const { field } = TensorProtoSchema;

/** Field numbers of TensorProto that hold a tensor's elements. */
export const payloadFields = {
  floatData: field.floatData.number,
  int32Data: field.int32Data.number,
  int64Data: field.int64Data.number,
  rawData: field.rawData.number,
  doubleData: field.doubleData.number,
  uint64Data: field.uint64Data.number,
} as const;

/**
 * The encoded elements of a tensor as they stand in a message, without tag and length: the bytes of raw_data, or of a
 * typed list in its packed form. They stay in the file when they are large.
 */
export interface Payload {
  readonly field: number;
  readonly byteLength: number;
  /** Where the elements begin in the file or buffer, for messages. */
  readonly byteOffset: number;
  readonly place:
    | { readonly kind: 'memory'; readonly bytes: Uint8Array }
    | { readonly kind: 'file'; readonly path: string };
}

/** The payload's bytes, read from the file where it lies in one. */
export const payloadBytes = (payload: Payload): Uint8Array => {
  if (payload.place.kind === 'memory') return payload.place.bytes;
  const bytes = new Uint8Array(payload.byteLength);
  const file = openSync(payload.place.path, 'r');
  try {
    let done = 0;
    while (done < bytes.byteLength) {
      const got = readSync(file, bytes, done, bytes.byteLength - done, payload.byteOffset + done);
      if (got === 0)
        throw new CompressError({
          code: 'malformed',
          message: 'the file became shorter while it was being read',
          where: { file: payload.place.path, byteOffset: payload.byteOffset + done },
        });
      done += got;
    }
  } finally {
    closeSync(file);
  }
  return bytes;
};

/** Bytes that are appended to in amortised constant time. */
export class GrowingBytes {
  #bytes: Uint8Array;
  byteLength: number;

  constructor(first: Uint8Array) {
    this.#bytes = first;
    this.byteLength = first.byteLength;
  }

  append(chunk: Uint8Array): void {
    const wanted = this.byteLength + chunk.byteLength;
    if (wanted > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(64, wanted * 2));
      larger.set(this.view());
      this.#bytes = larger;
    }
    this.#bytes.set(chunk, this.byteLength);
    this.byteLength = wanted;
  }

  view(): Uint8Array {
    return this.#bytes.subarray(0, this.byteLength);
  }
}
