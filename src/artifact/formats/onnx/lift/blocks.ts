import type { Node, Value } from '../../../../ir/graph.ts';
import { PackedTensor } from '../../../../ir/packed-tensor.ts';
import { readFloats } from '../../../../ir/read.ts';
import type { Tensor } from '../../../../ir/tensor.ts';
import { constantOf } from '../../../../ir/walk.ts';
import { packRows, unpackBlocks, unpackRows } from '../../../../kernels/index.ts';
import { everyRun, sharedRun } from './merge-blocks.ts';

/** The constants of a weight in the block layout of com.microsoft operators. */
export interface BlockConstants {
  readonly codes: Value;
  readonly scales: Value;
  readonly zeroPoints: Value | undefined;
  readonly rows: number;
  readonly columns: number;
  readonly bits: 2 | 4 | 8;
  readonly blockSize: number;
}

const isBits = (bits: number): bits is 2 | 4 | 8 => bits === 2 || bits === 4 || bits === 8;

const isScale = (tensor: Tensor | undefined): boolean => tensor?.dtype === 'float32' || tensor?.dtype === 'float16';

/** Zero points packed to bytes; other forms (floating-point ones) are left as they are. */
const plainZeros = (value: Value | undefined): boolean => !value || constantOf(value)?.dtype === 'uint8';

/** What a MatMulNBits node reads its weight from; undefined where it is not a plain packed constant. */
export const blocksOfProduct = (node: Node): BlockConstants | undefined => {
  const [, codes, scales, zeroPoints, groupIndex] = node.inputs;
  const [rows, columns, bits, blockSize] = [
    node.int('N', 0),
    node.int('K', 0),
    node.int('bits', 4),
    node.int('block_size', 0),
  ];
  if (groupIndex || !codes || !scales || !isBits(bits) || !plainZeros(zeroPoints)) return undefined;
  const stored = constantOf(codes);
  if (stored?.dtype !== 'uint8' || !isScale(constantOf(scales)) || blockSize < 1) return undefined;
  const bytes = rows * Math.ceil(columns / blockSize) * ((blockSize * bits) / 8);
  return stored.byteLength === bytes ? { codes, scales, zeroPoints, rows, columns, bits, blockSize } : undefined;
};

/** The codes of a lookup: a constant, or a constant in blocks that a Reshape turns into a matrix. */
const codesOfLookup = (node: Node): Value | undefined => {
  const data = node.inputs[0];
  const reshape = data?.producer;
  return reshape?.op === 'Reshape' && reshape.domain === '' && constantOf(reshape.inputs[0]) ? reshape.inputs[0] : data;
};

/** What a GatherBlockQuantized node reads rows from; undefined where it is not a plain packed matrix of bytes. */
export const blocksOfLookup = (node: Node): BlockConstants | undefined => {
  const codes = codesOfLookup(node);
  const [, , scales, zeroPoints] = node.inputs;
  const [bits, blockSize] = [node.int('bits', 4), node.int('block_size', 128)];
  const stored = constantOf(codes);
  const grid = constantOf(scales);
  if (!codes || !scales || stored?.dtype !== 'uint8' || !isScale(grid) || !isBits(bits) || !plainZeros(zeroPoints))
    return undefined;
  const rows = grid?.shape[0] ?? 0;
  const columns = rows > 0 ? (stored.byteLength * 8) / bits / rows : 0;
  const fits = node.int('gather_axis', 0) === 0 && node.int('quantize_axis', 1) === 1 && grid?.shape.length === 2;
  if (!fits || grid.shape[1] !== Math.ceil(columns / blockSize) || columns % blockSize !== 0) return undefined;
  return { codes, scales, zeroPoints, rows, columns, bits, blockSize };
};

/** The packed weight of block constants, as a matrix [rows, columns]; blocks that share their scale are one group. */
export const packedOfBlocks = (constants: BlockConstants): PackedTensor => {
  const { rows, columns, bits, blockSize } = constants;
  const blocks = Math.ceil(columns / blockSize);
  const stored = constantOf(constants.codes)!;
  const grid = constantOf(constants.scales)!;
  const zeros = constantOf(constants.zeroPoints);
  const scales = readFloats(grid);
  const zeroPoints = zeros ? unpackRows({ packed: zeros.bytes(), rows, columns: blocks, bits }) : null;
  const run = sharedRun({ scales, zeroPoints }, blocks);
  const codes = (): Uint8Array =>
    columns % blockSize === 0
      ? stored.bytes()
      : packRows({
          codes: unpackBlocks({ packed: stored.bytes(), rows, columns, bits, blockSize }),
          ...{ rows, columns, bits },
        });
  return PackedTensor.deferred(
    {
      ...{ rows, columns, bits, storedBits: bits, groupSize: Math.min(columns, run * blockSize) },
      ...{ dtype: grid.dtype as 'float32' | 'float16', shape: [rows, columns], layout: 'rows-first', method: 'stored' },
    },
    {
      codes,
      scales: () => everyRun(scales, blocks, run),
      zeroPoints: () => zeroPoints && everyRun(zeroPoints, blocks, run),
    },
  );
};
