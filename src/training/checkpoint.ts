import { CompressError } from '../errors.ts';

/** Everything that training needs to go on as if it had never stopped. */
export interface TrainingState {
  /** Steps done. */
  readonly step: number;
  /** Flat buffers, in an order that the loop decides. */
  readonly buffers: readonly Float32Array[];
  /** Numbers and flags of the loop. */
  readonly facts: Readonly<Record<string, number>>;
}

const bytesOf = (array: Float32Array): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** 4 bytes of JSON length (little-endian), JSON padded to a multiple of 4, then the buffers one after the other. */
export const encodeState = ({ step, buffers, facts }: TrainingState): Uint8Array => {
  const plain = JSON.stringify({ step, facts: writable(facts), lengths: buffers.map(({ length }) => length) });
  const json = Buffer.from(plain.padEnd(Math.ceil(Buffer.byteLength(plain) / 4) * 4));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  return new Uint8Array(Buffer.concat([length, json, ...buffers.map(bytesOf)]));
};

/** JSON has no infinities: facts are written as text. */
const writable = (facts: TrainingState['facts']): Record<string, string> =>
  Object.fromEntries(Object.entries(facts).map(([key, value]) => [key, String(value)]));

/** @throws CompressError 'malformed' for bytes that `encodeState` did not make. */
export const decodeState = (bytes: Uint8Array): TrainingState => {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const jsonLength = view.readUInt32LE(0);
  const { step, facts, lengths } = JSON.parse(view.toString('utf8', 4, 4 + jsonLength)) as {
    step: number;
    facts: Record<string, string>;
    lengths: number[];
  };
  let at = 4 + jsonLength;
  const buffers = lengths.map((length) => {
    const array = new Float32Array(length);
    bytesOf(array).set(view.subarray(at, at + length * 4));
    at += length * 4;
    return array;
  });
  if (at !== bytes.length)
    throw new CompressError({
      code: 'malformed',
      message: `the training checkpoint has ${bytes.length} bytes where ${at} belong`,
      hint: 'Begin anew with --fresh.',
    });
  return { step, buffers, facts: Object.fromEntries(Object.entries(facts).map(([key, text]) => [key, Number(text)])) };
};
