import { internalError } from '../errors.ts';
import { dequantize, floatToBytes, unpackRows } from '../kernels/index.ts';
import { scatterColumns } from './column-order.ts';
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
  /**
   * Input that each column multiplies, where columns are not in the order of the inputs (checkpoints with activation
   * order); a permutation of `columns` numbers. Only while a checkpoint is opened: graphs get a Gather instead.
   */
  readonly inputOrder?: Uint32Array;
}

/** The arrays of a packed weight, each read when it is asked for. */
export interface PackedArrays {
  codes(): Uint8Array;
  scales(): Float32Array;
  zeroPoints(): Uint8Array | null;
}

/** Facts without the arrays. */
type PackedSizes = Omit<PackedFacts, 'codes' | 'scales' | 'zeroPoints'>;

/** Facts whose arrays are made anew each time they are looked at; `read` promises the lengths that the sizes ask for. */
const deferFacts = (sizes: PackedSizes, read: PackedArrays): PackedFacts => ({
  ...sizes,
  get codes() {
    return read.codes();
  },
  get scales() {
    return read.scales();
  },
  get zeroPoints() {
    return read.zeroPoints();
  },
});

const sizesOf = (facts: PackedFacts): PackedSizes => {
  const { dtype, shape, layout, rows, columns, bits, storedBits, groupSize, method, inputOrder } = facts;
  return {
    ...{ dtype, shape, layout, rows, columns, bits, storedBits, groupSize, method },
    ...(inputOrder ? { inputOrder } : {}),
  };
};

const arraysOf = (facts: PackedFacts): PackedArrays => ({
  codes: () => facts.codes,
  scales: () => facts.scales,
  zeroPoints: () => facts.zeroPoints,
});

const checkArrays = ({ rows, columns, bits, storedBits, groupSize, codes, scales, zeroPoints }: PackedFacts): void => {
  const groups = Math.ceil(columns / groupSize);
  if (codes.length !== rows * Math.ceil((columns * storedBits) / 8) || scales.length !== rows * groups)
    throw internalError(
      `packed tensor ${rows}×${columns} (${bits} bits, groups of ${groupSize}) has ${codes.length} code bytes and ${scales.length} scales`,
    );
  if (zeroPoints && zeroPoints.length !== scales.length)
    throw internalError(`packed tensor has ${zeroPoints.length} zero points for ${scales.length} scales`);
};

/** A quantized weight that stands for its floating-point twin until a writer lowers it to a format. */
export class PackedTensor implements Tensor {
  readonly kind = 'packed';
  readonly facts: PackedFacts;
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly byteLength: number;

  constructor(facts: PackedFacts) {
    if (!Object.getOwnPropertyDescriptor(facts, 'codes')?.get) checkArrays(facts);
    if (elementCount(facts.shape) !== facts.rows * facts.columns)
      throw internalError(
        `packed tensor of shape [${facts.shape.join(', ')}] cannot be ${facts.rows}×${facts.columns}`,
      );
    this.facts = facts;
    this.dtype = facts.dtype;
    this.shape = facts.shape;
    this.byteLength = byteLengthOf(facts.dtype, elementCount(facts.shape));
  }

  /** A packed weight whose arrays are read when they are asked for, and not kept. */
  static deferred(sizes: PackedSizes, read: PackedArrays): PackedTensor {
    return new PackedTensor(deferFacts(sizes, read));
  }

  /** The same integers seen as another array; nothing is read. */
  seenAs(view: Partial<Pick<PackedFacts, 'dtype' | 'shape' | 'layout'>>): PackedTensor {
    const { facts } = this;
    return PackedTensor.deferred({ ...sizesOf(facts), ...view }, arraysOf(facts));
  }

  /** The same integers, columns numbered as they are stored: what multiplies them must be put in `inputOrder` first. */
  inStoredOrder(): PackedTensor {
    const { inputOrder: _, ...sizes } = sizesOf(this.facts);
    return PackedTensor.deferred(sizes, arraysOf(this.facts));
  }

  /** The same integers, whose columns belong to inputs in this order: the inverse of `inStoredOrder`. */
  withInputOrder(inputOrder: Uint32Array): PackedTensor {
    return PackedTensor.deferred({ ...sizesOf(this.facts), inputOrder }, arraysOf(this.facts));
  }

  /** Rows `begin` to `end` of a matrix that lies as [rows, columns]; nothing is read. */
  rowRange(begin: number, end: number): PackedTensor {
    const { facts, groups } = this;
    const { columns, storedBits } = facts;
    const rowBytes = Math.ceil((columns * storedBits) / 8);
    return PackedTensor.deferred(
      { ...sizesOf(facts), rows: end - begin, shape: [end - begin, columns] },
      {
        codes: () => facts.codes.subarray(begin * rowBytes, end * rowBytes),
        scales: () => facts.scales.subarray(begin * groups, end * groups),
        zeroPoints: () => facts.zeroPoints?.subarray(begin * groups, end * groups) ?? null,
      },
    );
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
    const { rows, columns, groupSize, bits, scales, zeroPoints, inputOrder } = this.facts;
    const matrix = dequantize({ codes: this.unpackedCodes(), scales, zeroPoints, rows, columns, groupSize, bits });
    return inputOrder ? scatterColumns(matrix, rows, inputOrder) : matrix;
  }

  /** The dequantized array in the graph's shape and element type. */
  bytes(): Uint8Array {
    const { layout, dtype, shape } = this.facts;
    return floatToBytes(arrayOfMatrix(this.matrix(), shape, layout), dtype);
  }
}
