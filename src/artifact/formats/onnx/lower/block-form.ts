import type { PackedFacts, PackedTensor } from '../../../../ir/packed-tensor.ts';
import { DerivedTensor, type Tensor } from '../../../../ir/tensor.ts';
import { packBlocks } from '../../../../kernels/index.ts';
import { middleOf, packedZeroPoints, perBlock, scalesTensor } from './packed.ts';

/**
 * A packed weight in the block layout of com.microsoft operators: blocks are powers of two from 16 on, codes of 2, 4 or
 * 8 bits, low bits first; where no zero points are stored the zero is 2^(bits-1).
 */
export interface BlockForm {
  readonly bits: 2 | 4 | 8;
  readonly blockSize: number;
  /** Codes (rows, blocks, blockSize * bits / 8), the last block filled up with zero codes. */
  readonly codes: Tensor;
  /** (rows, blocks), in the weight's element type. */
  readonly scales: Tensor;
  /** (rows, ceil(blocks * bits / 8)); undefined: 2^(bits-1) everywhere. */
  readonly zeroPoints: Tensor | undefined;
}

/** Sizes that onnxruntime has fast kernels for; the operators take larger powers of two, but run them slowly. */
const blockSizes = [16, 32, 64, 128, 256] as const;

/** Bytes of a block form of this block size. */
const bytesFor = (facts: PackedFacts, blockSize: number): number => {
  const blocks = Math.ceil(facts.columns / blockSize);
  const scaleBytes = facts.dtype === 'float32' ? 4 : 2;
  const zeroPoints = facts.zeroPoints ? Math.ceil((blocks * facts.storedBits) / 8) : 0;
  return facts.rows * ((blocks * blockSize * facts.storedBits) / 8 + blocks * scaleBytes + zeroPoints);
};

/**
 * The block size that stores a weight in the fewest bytes: a power of two that divides the group size, so that every
 * block lies in one group (groups wider than the block repeat their scale), or any where a group is the whole row.
 * `whole`: blocks must fill the row exactly. Undefined where no block size fits.
 */
export const blockSizeFor = (facts: PackedFacts, blocks: 'whole' | 'padded'): number | undefined => {
  const { columns, groupSize } = facts;
  let best: number | undefined;
  for (const size of blockSizes) {
    if (groupSize < columns && groupSize % size !== 0) continue;
    if (blocks === 'whole' && columns % size !== 0) continue;
    if (best === undefined || bytesFor(facts, size) <= bytesFor(facts, best)) best = size;
  }
  return best;
};

/** Adds a constant to every 4-bit code of a byte array; no code may overflow. */
const shiftNibbles = (codes: Uint8Array, shift: number): Uint8Array => codes.map((byte) => byte + shift * 0x11);

/** Codes of a weight in blocks, made when they are read; the packed rows themselves where they lie that way already. */
const blockedCodes = (tensor: PackedTensor, blockSize: number, shift: number): Tensor => {
  const { facts } = tensor;
  const { rows, columns, storedBits } = facts;
  const blocks = Math.ceil(columns / blockSize);
  const shape = [rows, blocks, (blockSize * storedBits) / 8];
  if (columns % blockSize === 0)
    return new DerivedTensor('uint8', shape, () => (shift === 0 ? facts.codes : shiftNibbles(facts.codes, shift)));
  return new DerivedTensor('uint8', shape, () => {
    const packed = packBlocks({
      codes: tensor.unpackedCodes(),
      rows,
      columns,
      bits: storedBits,
      blockSize,
      padding: facts.zeroPoints ? perBlock(facts.zeroPoints, facts, blockSize) : middleOf(facts),
    });
    return shift === 0 ? packed : shiftNibbles(packed, shift);
  });
};

/** The block form of a weight for a block size that `blockSizeFor` allows. */
export const blockForm = (tensor: PackedTensor, blockSize: number): BlockForm => {
  const { facts } = tensor;
  const { rows, columns, storedBits } = facts;
  const blocks = Math.ceil(columns / blockSize);
  // A symmetric 3-bit grid has its zero at 4, the 4-bit operator's default is 8: moving the codes saves zero points.
  const shift = facts.zeroPoints ? 0 : 2 ** (storedBits - 1) - middleOf(facts);
  return {
    bits: storedBits,
    blockSize,
    codes: blockedCodes(tensor, blockSize, shift),
    scales: scalesTensor(facts, [rows, blocks], perBlock(facts.scales, facts, blockSize)),
    zeroPoints: facts.zeroPoints
      ? packedZeroPoints(perBlock(facts.zeroPoints, facts, blockSize), rows, storedBits)
      : undefined,
  };
};
