import { scatterColumns } from '../../../ir/column-order.ts';
import type { PackedFacts } from '../../../ir/packed-tensor.ts';
import { transposeU8, unpackRows } from '../../../kernels/index.ts';
import { packWords, storedToWords, transposeWords, unpackWords, wordsPerRow, wordsToStored } from '../packed-words.ts';
import type { GptqFormat } from './config.ts';

/**
 * The arrays of a linear layer y = x · Wᵀ, W (rows, columns), in GPTQ checkpoints:
 * `qweight` int32 (columns · bits / 32, rows): codes of a row packed down a column of words;
 * `qzeros` int32 (groups, rows · bits / 32): zero points packed along the rows, less one in the first version;
 * `scales` (groups, rows); `g_idx` int32 (columns): the group of each input.
 */

type Size = Pick<PackedFacts, 'rows' | 'columns' | 'bits' | 'storedBits'>;

/** Codes as a PackedTensor stores them. */
export const decodeWeights = (qweight: Uint8Array, size: Size): Uint8Array => {
  const words = wordsPerRow(size.columns, size.bits);
  return wordsToStored(transposeWords(qweight, words, size.rows), size);
};

/** Codes in an order of inputs: column c of the result is that of input `order[c]`. */
export const encodeWeights = (facts: PackedFacts, order: Uint32Array | undefined): Uint8Array => {
  const { rows, columns, bits, storedBits, codes } = facts;
  const words = wordsPerRow(columns, bits);
  if (!order) return transposeWords(storedToWords(codes, facts), rows, words);
  const plain = unpackRows({ packed: codes, rows, columns, bits: storedBits });
  return transposeWords(packWords(scatterColumns(plain, rows, order), rows, columns, bits), rows, words);
};

/** What a word of zero points is smaller by in the first version: one in each field. */
const ones = (bits: number): number => {
  let word = 0;
  for (let bit = 0; bit < 32; bit += bits) word += 2 ** bit;
  return word;
};

/**
 * Adds a number to words, modulo 2^32. Where every zero point is at least one, no field touches the next; where one is
 * zero, fields borrow from each other, and adding undoes exactly what subtracting did.
 */
const addToWords = (bytes: Uint8Array, summand: number): Uint8Array => {
  const made = bytes.slice();
  const words = new Uint32Array(made.buffer, 0, made.byteLength / 4);
  for (let index = 0; index < words.length; index++) words[index] = words[index]! + summand;
  return made;
};

/** Zero points (rows, groups), one a byte. */
export const decodeZeroPoints = (
  qzeros: Uint8Array,
  { rows, groups, bits }: { readonly rows: number; readonly groups: number; readonly bits: number },
  format: GptqFormat,
): Uint8Array => {
  const evenly = 32 % bits === 0;
  const shift = format === 'gptq' ? 1 : 0;
  const words = shift === 1 && evenly ? addToWords(qzeros, ones(bits)) : qzeros;
  const zeros = unpackWords(words, groups, rows, bits);
  const mask = 2 ** bits - 1;
  return transposeU8(shift === 1 && !evenly ? zeros.map((zero) => (zero + 1) & mask) : zeros, groups, rows);
};

/** The inverse. Zero points of the first version must be at least one. */
export const encodeZeroPoints = (
  zeroPoints: Uint8Array,
  { rows, groups, bits }: { readonly rows: number; readonly groups: number; readonly bits: number },
  format: GptqFormat,
): Uint8Array => {
  const stored = format === 'gptq' ? zeroPoints.map((zero) => zero - 1) : zeroPoints;
  return packWords(transposeU8(stored, rows, groups), groups, rows, bits);
};
