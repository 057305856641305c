import { transposeU8 } from '../../../kernels/index.ts';
import { packWords, transposeWords, unpackWords, wordsPerRow } from '../packed-words.ts';

/**
 * Arrays of compressed-tensors' pack-quantized form: `weight_packed` int32 (rows, columns · bits / 32), codes packed
 * along the columns; `weight_scale` (rows, groups); `weight_zero_point` int32 (rows · bits / 32, groups), packed down
 * the rows; `weight_shape` int64 (2). Codes and zero points lie around 0 and are stored with 2^(bits-1) added.
 */

interface GridSize {
  readonly rows: number;
  readonly groups: number;
  readonly bits: number;
}

/** Zero points (rows, groups), one a byte. */
export const decodePackedZeroPoints = (words: Uint8Array, { rows, groups, bits }: GridSize): Uint8Array => {
  const lines = transposeWords(words, wordsPerRow(rows, bits), groups);
  return transposeU8(unpackWords(lines, groups, rows, bits), groups, rows);
};

/** The inverse. */
export const encodePackedZeroPoints = (zeroPoints: Uint8Array, { rows, groups, bits }: GridSize): Uint8Array =>
  transposeWords(packWords(transposeU8(zeroPoints, rows, groups), groups, rows, bits), groups, wordsPerRow(rows, bits));
