import type { PackedTensor } from '../../../ir/packed-tensor.ts';

/** How far inside the reach of its code a shadow stays, in steps. */
const margin = 0.01;

/**
 * The matrix (rows, columns) nearest to the original one that the grid rounds to the integers of `packed`: training
 * begins where rounding ended, and knows to which side of each integer the original weight lies.
 */
export const shadowOf = (original: Float32Array, packed: PackedTensor): Float32Array => {
  const { rows, columns, groupSize, scales, zeroPoints, bits } = packed.facts;
  const { groups } = packed;
  const codes = packed.unpackedCodes();
  const middle = 2 ** (bits - 1);
  const shadow = new Float32Array(original.length);
  for (let row = 0, at = 0; row < rows; row++)
    for (let column = 0; column < columns; column++, at++) {
      const group = row * groups + Math.floor(column / groupSize);
      const scale = scales[group]!;
      const zero = zeroPoints ? zeroPoints[group]! : middle;
      const code = codes[at]!;
      const place = scale === 0 ? zero : original[at]! / scale + zero;
      const near = Math.min(code + 0.5 - margin, Math.max(code - 0.5 + margin, place));
      shadow[at] = (near - zero) * scale;
    }
  return shadow;
};
