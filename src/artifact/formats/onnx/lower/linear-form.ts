import type { DataType } from '../../../../ir/data-type.ts';
import type { MatrixLayout } from '../../../../ir/matrix-layout.ts';
import type { PackedFacts, PackedTensor } from '../../../../ir/packed-tensor.ts';
import { elementCount } from '../../../../ir/shape.ts';
import { DerivedTensor, MemoryTensor, type Tensor } from '../../../../ir/tensor.ts';
import { packFlat, transposeF32, transposeU8 } from '../../../../kernels/index.ts';
import { middleOf, scalesTensor } from './packed.ts';

/**
 * A packed weight as the inputs of DequantizeLinear. Where the groups do not run along an axis of the weight, the
 * operator works on the matrix (rows, columns), and its result is reshaped (and transposed) to the weight's shape.
 */
export interface LinearForm {
  /** Codes: unsigned with zero points, signed around 0 without. */
  readonly data: Tensor;
  readonly scales: Tensor;
  readonly zeroPoints: Tensor | undefined;
  readonly axis: number;
  /** Elements along `axis` that share a scale; 0 for one scale per index of the axis. */
  readonly blockSize: number;
  /** Shape to give the result, where it is not the weight's own. */
  readonly reshape: readonly number[] | undefined;
  /** Permutation after the reshape. */
  readonly transpose: readonly number[] | undefined;
  /** Least version of the standard operator set that has this. */
  readonly opset: number;
}

/** Operator sets that brought what a form uses. */
const opsetOfAxis = 13;
const opsetOfHalfScales = 19;
const opsetOfBlocks = 21;
const opsetOfFourBits = 21;
const opsetOfTwoBits = 25;

const opsetFor = (facts: PackedFacts, blockSize: number): number =>
  Math.max(
    opsetOfAxis,
    facts.dtype === 'float32' ? 0 : opsetOfHalfScales,
    blockSize > 0 ? opsetOfBlocks : 0,
    facts.storedBits === 4 ? opsetOfFourBits : 0,
    facts.storedBits === 2 ? opsetOfTwoBits : 0,
  );

const codeTypes: Readonly<Record<PackedFacts['storedBits'], { signed: DataType; unsigned: DataType }>> = {
  2: { signed: 'int2', unsigned: 'uint2' },
  4: { signed: 'int4', unsigned: 'uint4' },
  8: { signed: 'int8', unsigned: 'uint8' },
};

/** Where the matrix of a weight lies, as DequantizeLinear sees it. */
interface View {
  /** Shape of the data. */
  readonly shape: readonly number[];
  readonly layout: MatrixLayout;
  /** Axis of the rows and of the columns in `shape`. */
  readonly rowAxis: number;
  readonly columnAxis: number;
  readonly reshape?: readonly number[];
  readonly transpose?: readonly number[];
}

/** True when one axis of the weight holds exactly the columns: groups can be blocks of it. */
const hasColumnAxis = ({ shape, layout, columns }: PackedFacts): boolean =>
  layout === 'rows-last' ? shape.length === 2 : layout === 'rows-first' && shape.length === 2 && shape[1] === columns;

/** True when one axis of the weight holds exactly the rows. */
const rowAxisOf = ({ shape, layout, rows }: PackedFacts): number | undefined => {
  const axis = { 'rows-first': 0, 'rows-second': 1, 'rows-last': shape.length - 1 }[layout];
  if (shape[axis] === rows) return axis;
  // Recurrent weights are [directions, rows per direction, columns].
  return layout === 'rows-first' && shape[0] === 1 && shape[1] === rows ? 1 : undefined;
};

const viewOf = (facts: PackedFacts): View => {
  const { shape, layout, rows, columns, groupSize } = facts;
  const rowAxis = rowAxisOf(facts);
  if (rowAxis !== undefined && (groupSize >= columns || hasColumnAxis(facts)))
    return { shape, layout, rowAxis, columnAxis: layout === 'rows-last' ? 0 : 1 };
  const matrix = { shape: [rows, columns], layout: 'rows-first', rowAxis: 0, columnAxis: 1 } as const;
  if (layout !== 'rows-second') return { ...matrix, reshape: shape };
  const [first = 1, second = 1, ...kernel] = shape;
  return { ...matrix, reshape: [second, first, ...kernel], transpose: [1, 0, ...kernel.map((_, index) => index + 2)] };
};

/** Codes (rows, columns), one a byte, in the order of an array of the view's shape. */
const arrangeCodes = (codes: Uint8Array, facts: PackedFacts, view: View): Uint8Array => {
  const { rows, columns } = facts;
  if (view.layout === 'rows-first') return codes;
  if (view.layout === 'rows-last') return transposeU8(codes, rows, columns);
  const kernel = elementCount(view.shape.slice(2));
  const leading = columns / kernel;
  const made = new Uint8Array(codes.length);
  for (let row = 0; row < rows; row++)
    for (let channel = 0; channel < leading; channel++) {
      const from = row * columns + channel * kernel;
      made.set(codes.subarray(from, from + kernel), (channel * rows + row) * kernel);
    }
  return made;
};

/** Codes around 0 in two's complement of the stored width, from codes around `middle`. */
const signedCodes = (codes: Uint8Array, middle: number, storedBits: number): Uint8Array => {
  const mask = 2 ** storedBits - 1;
  return codes.map((code) => (code - middle) & mask);
};

const dataTensor = (tensor: PackedTensor, view: View): Tensor => {
  const { facts } = tensor;
  const { storedBits, columns, zeroPoints } = facts;
  const type = codeTypes[storedBits][zeroPoints ? 'unsigned' : 'signed'];
  const packedAlready = zeroPoints && view.layout === 'rows-first' && (columns * storedBits) % 8 === 0;
  if (packedAlready) return new DerivedTensor(type, view.shape, () => facts.codes);
  return new DerivedTensor(type, view.shape, () => {
    const codes = arrangeCodes(tensor.unpackedCodes(), facts, view);
    return packFlat(zeroPoints ? codes : signedCodes(codes, middleOf(facts), storedBits), storedBits);
  });
};

/** The form of a packed weight, lazily: data are made when they are written. */
export const linearForm = (tensor: PackedTensor): LinearForm => {
  const { facts } = tensor;
  const { rows, columns, groupSize, storedBits, scales, zeroPoints } = facts;
  const view = viewOf(facts);
  const blockSize = groupSize < columns ? groupSize : 0;
  const groups = Math.ceil(columns / groupSize);
  const blocked = blockSize > 0;
  const columnsFirst = blocked && view.columnAxis < view.rowAxis;
  const gridShape = blocked ? (columnsFirst ? [groups, rows] : [rows, groups]) : [rows];
  return {
    data: dataTensor(tensor, view),
    scales: scalesTensor(facts, gridShape, columnsFirst ? transposeF32(scales, rows, groups) : scales),
    zeroPoints: zeroPoints
      ? new MemoryTensor(
          codeTypes[storedBits].unsigned,
          gridShape,
          packFlat(columnsFirst ? transposeU8(zeroPoints, rows, groups) : zeroPoints, storedBits),
        )
      : undefined,
    axis: blocked ? view.columnAxis : view.rowAxis,
    blockSize,
    reshape: view.reshape,
    transpose: view.transpose,
    opset: opsetFor(facts, blockSize),
  };
};
