import { addon } from './addon.ts';
import { expectInteger, expectLength, expectSize } from './expect.ts';
import { callNative } from './job.ts';

/** Bits that a packed code takes. */
export type StoredBits = 1 | 2 | 4 | 8;

/** Bytes of `count` codes packed without gaps, the last byte padded. */
const packedBytes = (count: number, bits: StoredBits): number => Math.ceil((count * bits) / 8);

/** Codes, one a byte: (rows, columns). */
export interface CodeMatrix {
  readonly codes: Uint8Array;
  readonly rows: number;
  readonly columns: number;
  readonly bits: StoredBits;
}

export interface PackedMatrix {
  readonly packed: Uint8Array;
  readonly rows: number;
  readonly columns: number;
  readonly bits: StoredBits;
}

/** Packs each row to whole bytes, low bits first, padding bits 0: (rows, ceil(columns · bits / 8)). */
export const packRows = ({ codes, rows, columns, bits }: CodeMatrix): Uint8Array<ArrayBuffer> => {
  expectSize(rows, columns);
  expectLength('codes', codes, rows * columns);
  return callNative(() => addon().packRows(codes, rows, columns, bits));
};

/** The inverse of `packRows`: (rows, columns), one code a byte. */
export const unpackRows = ({ packed, rows, columns, bits }: PackedMatrix): Uint8Array<ArrayBuffer> => {
  expectSize(rows, columns);
  expectLength('packed codes', packed, rows * packedBytes(columns, bits));
  return callNative(() => addon().unpackRows(packed, rows, columns, bits));
};

/** Packs codes as one line, low bits first, the last byte padded with 0: ONNX raw data of sub-byte types. */
export const packFlat = (codes: Uint8Array, bits: StoredBits): Uint8Array<ArrayBuffer> =>
  callNative(() => addon().packFlat(codes, bits));

/** The inverse of `packFlat`: `count` codes, one a byte. */
export const unpackFlat = (packed: Uint8Array, count: number, bits: StoredBits): Uint8Array<ArrayBuffer> => {
  expectLength('packed codes', packed, packedBytes(count, bits));
  return callNative(() => addon().unpackFlat(packed, count, bits));
};

/**
 * Packs codes into the layout of com.microsoft MatMulNBits: (rows, ceil(columns / blockSize), blockSize · bits / 8).
 * A last block that is not full is filled with `padding`: one code for all, or the zero points (rows, blocks).
 */
export const packBlocks = ({
  codes,
  rows,
  columns,
  bits,
  blockSize,
  padding,
}: CodeMatrix & { readonly blockSize: number; readonly padding: number | Uint8Array }): Uint8Array<ArrayBuffer> => {
  expectSize(rows, columns);
  expectLength('codes', codes, rows * columns);
  expectInteger('the block size', blockSize, 1, 2 ** 32 - 1);
  expectInteger('the bytes of a block', (blockSize * bits) / 8, 1, 2 ** 32 - 1);
  const layout = { rows, columns, bits, blockSize };
  if (typeof padding === 'number') {
    expectInteger('the padding code', padding, 0, 2 ** bits - 1);
    return callNative(() => addon().packBlocks(codes, layout, null, padding));
  }
  expectLength('zero points', padding, rows * Math.ceil(columns / blockSize));
  return callNative(() => addon().packBlocks(codes, layout, padding, 0));
};

/** The inverse of `packBlocks`: (rows, columns), one code a byte, without the padding. */
export const unpackBlocks = ({
  packed,
  rows,
  columns,
  bits,
  blockSize,
}: PackedMatrix & { readonly blockSize: number }): Uint8Array<ArrayBuffer> => {
  expectSize(rows, columns);
  expectInteger('the block size', blockSize, 1, 2 ** 32 - 1);
  expectLength('packed codes', packed, (rows * Math.ceil(columns / blockSize) * blockSize * bits) / 8);
  return callNative(() => addon().unpackBlocks(packed, { rows, columns, bits, blockSize }));
};

/** The transpose (columns, rows) of a matrix (rows, columns). */
export const transposeF32 = (matrix: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> => {
  expectSize(rows, columns);
  expectLength('matrix', matrix, rows * columns);
  return callNative(() => addon().transposeF32(matrix, rows, columns));
};

/** The transpose (columns, rows) of a byte matrix (rows, columns). */
export const transposeU8 = (matrix: Uint8Array, rows: number, columns: number): Uint8Array<ArrayBuffer> => {
  expectSize(rows, columns);
  expectLength('matrix', matrix, rows * columns);
  return callNative(() => addon().transposeU8(matrix, rows, columns));
};
