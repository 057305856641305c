import type { Tensor } from '../../ir/tensor.ts';
import { packRows, transposeF32, unpackRows } from '../../kernels/index.ts';

/**
 * Codes in 32-bit words, low bits first, without gaps: 32 codes of b bits take b words, and a code may lie across two
 * words. A row of codes begins at a word. This is how GPTQ and compressed-tensors checkpoints store integers.
 */

const packsEvenly = (bits: number): bits is 1 | 2 | 4 | 8 => [1, 2, 4, 8].includes(bits);

/** Words that a row of `columns` codes takes. */
export const wordsPerRow = (columns: number, bits: number): number => Math.ceil((columns * bits) / 32);

/** Rows of `from` bytes as rows of `to` bytes, cut or filled with zeros. */
const resizeRows = (bytes: Uint8Array, rows: number, from: number, to: number): Uint8Array => {
  if (from === to) return bytes;
  const made = new Uint8Array(rows * to);
  const kept = Math.min(from, to);
  for (let row = 0; row < rows; row++) made.set(bytes.subarray(row * from, row * from + kept), row * to);
  return made;
};

/** Codes that may lie across two bytes. */
const packAcross = (codes: Uint8Array, rows: number, columns: number, bits: number, rowBytes: number): Uint8Array => {
  const made = new Uint8Array(rows * rowBytes);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const bit = column * bits;
      const at = row * rowBytes + (bit >>> 3);
      const shifted = codes[row * columns + column]! << (bit & 7);
      made[at]! |= shifted & 0xff;
      if (shifted > 0xff) made[at + 1]! |= shifted >>> 8;
    }
  return made;
};

const unpackAcross = (bytes: Uint8Array, rows: number, columns: number, bits: number, rowBytes: number): Uint8Array => {
  const mask = 2 ** bits - 1;
  const made = new Uint8Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const bit = column * bits;
      const at = row * rowBytes + (bit >>> 3);
      made[row * columns + column] = ((bytes[at]! | ((bytes[at + 1] ?? 0) << 8)) >>> (bit & 7)) & mask;
    }
  return made;
};

/** Codes (rows, columns), one a byte, as words (rows, wordsPerRow), in bytes. */
export const packWords = (codes: Uint8Array, rows: number, columns: number, bits: number): Uint8Array => {
  const rowBytes = wordsPerRow(columns, bits) * 4;
  if (!packsEvenly(bits)) return packAcross(codes, rows, columns, bits, rowBytes);
  return resizeRows(packRows({ codes, rows, columns, bits }), rows, Math.ceil((columns * bits) / 8), rowBytes);
};

/** The inverse of `packWords`: codes (rows, columns), one a byte. */
export const unpackWords = (words: Uint8Array, rows: number, columns: number, bits: number): Uint8Array => {
  const rowBytes = wordsPerRow(columns, bits) * 4;
  if (!packsEvenly(bits)) return unpackAcross(words, rows, columns, bits, rowBytes);
  const packed = resizeRows(words, rows, rowBytes, Math.ceil((columns * bits) / 8));
  return unpackRows({ packed, rows, columns, bits });
};

/** Words (rows, wordsPerRow) as codes of `storedBits`, each row padded to whole bytes: the rows of a PackedTensor. */
export const wordsToStored = (
  words: Uint8Array,
  size: { readonly rows: number; readonly columns: number; readonly bits: number; readonly storedBits: 2 | 4 | 8 },
): Uint8Array => {
  const { rows, columns, bits, storedBits } = size;
  const rowBytes = Math.ceil((columns * storedBits) / 8);
  if (bits === storedBits) return resizeRows(words, rows, wordsPerRow(columns, bits) * 4, rowBytes);
  return packRows({ codes: unpackWords(words, rows, columns, bits), rows, columns, bits: storedBits });
};

/** The inverse of `wordsToStored`. */
export const storedToWords = (
  stored: Uint8Array,
  size: { readonly rows: number; readonly columns: number; readonly bits: number; readonly storedBits: 2 | 4 | 8 },
): Uint8Array => {
  const { rows, columns, bits, storedBits } = size;
  const rowBytes = Math.ceil((columns * storedBits) / 8);
  if (bits === storedBits) return resizeRows(stored, rows, rowBytes, wordsPerRow(columns, bits) * 4);
  return packWords(unpackRows({ packed: stored, rows, columns, bits: storedBits }), rows, columns, bits);
};

/** Bits that a PackedTensor stores a code of `bits` in. */
export const storedBitsFor = (bits: number): 2 | 4 | 8 => (bits <= 2 ? 2 : bits <= 4 ? 4 : 8);

/** A matrix of 32-bit words (rows, columns), in bytes, as (columns, rows). */
export const transposeWords = (words: Uint8Array, rows: number, columns: number): Uint8Array => {
  const aligned = words.byteOffset % 4 === 0 ? words : words.slice();
  const floats = new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
  const turned = transposeF32(floats, rows, columns);
  return new Uint8Array(turned.buffer, turned.byteOffset, turned.byteLength);
};

/** The elements of an int32 tensor. */
export const readWords = (tensor: Tensor): Int32Array => {
  const bytes = tensor.bytes();
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Int32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
};
