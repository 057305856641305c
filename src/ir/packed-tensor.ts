import { internalError } from '../errors.ts';
import { dequantize, floatToBytes, unpackRows } from '../kernels/index.ts';
import { byteLengthOf, type DataType } from './data-type.ts';
import { arrayOfMatrix, type MatrixLayout } from './matrix-layout.ts';
import { elementCount } from './shape.ts';
import type { Tensor } from './tensor.ts';

/**
 * Integers, scales and zero points of a weight, seen as a matrix (rows = outputs, columns = inputs):
 * `weight[r][c] = (code[r][c] - zero[r][g]) * scale[r][g]`, `g = floor(c / groupSize)`.
 */
export interface PackedFacts {
  /** Element type and shape of the weight that the integers stand for, as the graph sees it. */
  readonly dtype: 'float32' | 'float16' | 'bfloat16';
  readonly shape: readonly number[];
  /** How the matrix lies in `shape`. */
  readonly layout: MatrixLayout;
  readonly rows: number;
  readonly columns: number;
  /** Bits that a code may use (2..8) and bits it is stored in (2, 4 or 8; 3-bit codes are stored in 4). */
  readonly bits: number;
  readonly storedBits: 2 | 4 | 8;
  /** Columns that share a scale; `columns` for one scale a row. The last group of a row may be shorter. */
  readonly groupSize: number;
  /** Codes of `storedBits`, each row padded to whole bytes, low bits first: (rows, ceil(columns * storedBits / 8)). */
  readonly codes: Uint8Array;
  /** (rows, groups), may be negative. */
  readonly scales: Float32Array;
  /** (rows, groups), one a byte; null for symmetric grids, whose zero is 2^(bits-1). */
  readonly zeroPoints: Uint8Array | null;
  /** How the integers were found: method name for reports ('rtn', 'gptq', …). */
  readonly method: string;
}

/** A quantized weight that stands for its floating-point twin until a writer lowers it to a format. */
export class PackedTensor implements Tensor {
  readonly kind = 'packed';
  readonly facts: PackedFacts;
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly byteLength: number;

  constructor(facts: PackedFacts) {
    const groups = Math.ceil(facts.columns / facts.groupSize);
    const rowBytes = Math.ceil((facts.columns * facts.storedBits) / 8);
    if (facts.codes.length !== facts.rows * rowBytes || facts.scales.length !== facts.rows * groups)
      throw internalError(
        `packed tensor ${facts.rows}×${facts.columns} (${facts.bits} bits, groups of ${facts.groupSize}) has ${facts.codes.length} code bytes and ${facts.scales.length} scales`,
      );
    if (facts.zeroPoints && facts.zeroPoints.length !== facts.scales.length)
      throw internalError(`packed tensor has ${facts.zeroPoints.length} zero points for ${facts.scales.length} scales`);
    if (elementCount(facts.shape) !== facts.rows * facts.columns)
      throw internalError(
        `packed tensor of shape [${facts.shape.join(', ')}] cannot be ${facts.rows}×${facts.columns}`,
      );
    this.facts = facts;
    this.dtype = facts.dtype;
    this.shape = facts.shape;
    this.byteLength = byteLengthOf(facts.dtype, elementCount(facts.shape));
  }

  get groups(): number {
    return Math.ceil(this.facts.columns / this.facts.groupSize);
  }

  /** Codes, one a byte: (rows, columns). */
  unpackedCodes(): Uint8Array {
    const { codes, rows, columns, storedBits } = this.facts;
    return unpackRows({ packed: codes, rows, columns, bits: storedBits });
  }

  /** Dequantized matrix (rows, columns). */
  matrix(): Float32Array {
    const { rows, columns, groupSize, bits, scales, zeroPoints } = this.facts;
    return dequantize({ codes: this.unpackedCodes(), scales, zeroPoints, rows, columns, groupSize, bits });
  }

  /** The dequantized array in the graph's shape and element type. */
  bytes(): Uint8Array {
    const { layout, dtype, shape } = this.facts;
    return floatToBytes(arrayOfMatrix(this.matrix(), shape, layout), dtype);
  }
}
