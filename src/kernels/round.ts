import { addon } from './addon.ts';
import { expectInteger, expectLength, expectSize } from './expect.ts';
import {
  type GridOptions,
  type Grids,
  locateNonFinite,
  type RoundedWeight,
  toNativeGrid,
  toNativeMatrix,
  type WeightMatrix,
} from './grid.ts';
import { callNative, type JobOptions, runJob } from './job.ts';
import type { NativeControl, NativeGrid, NativeMatrix } from './native.ts';

const runOnMatrix = async <T>(
  input: WeightMatrix & GridOptions & JobOptions,
  start: (matrix: NativeMatrix, grid: NativeGrid, control: NativeControl) => Promise<T>,
): Promise<T> => {
  const matrix = toNativeMatrix(input);
  const grid = toNativeGrid(input, input.columns);
  try {
    return await runJob(input, (control) => start(matrix, grid, control));
  } catch (error) {
    throw locateNonFinite(error, input);
  }
};

/**
 * Round to nearest, halves to even: chooses a grid for every group and takes the nearest code. The scale is computed in
 * double precision and stored before codes are chosen for it. The weight must not change until the promise settles.
 * @throws 'numeric' when a weight is NaN or infinite or a scale does not fit its type; 'interrupted'.
 */
export const quantizeRtn = async (input: WeightMatrix & GridOptions & JobOptions): Promise<RoundedWeight> => {
  const { codes, scales, zeroPoints = null } = await runOnMatrix(input, addon().quantizeRtn);
  return { codes, scales, zeroPoints };
};

/** The grids that `quantizeRtn` would choose, without codes. Throws as it does. */
export const chooseGrid = async (input: WeightMatrix & GridOptions & JobOptions): Promise<Grids> => {
  const { scales, zeroPoints = null } = await runOnMatrix(input, addon().chooseGrid);
  return { scales, zeroPoints };
};

/** The nearest codes (rows, columns) on grids that are already chosen; `clip` and `scaleType` play no part. */
export const quantizeOnGrid = async (
  input: WeightMatrix & GridOptions & Grids & JobOptions,
): Promise<Uint8Array<ArrayBuffer>> => {
  const { scales, zeroPoints } = input;
  expectGrids(input, input.scales, input.zeroPoints);
  return runOnMatrix(input, (matrix, grid, control) =>
    addon().quantizeOnGrid(matrix, grid, scales, zeroPoints, control),
  );
};

/** The weight (rows, columns) that codes stand for: (code - zero) · scale, in single precision. */
export const dequantize = (input: {
  readonly codes: Uint8Array;
  readonly scales: Float32Array;
  /** Null for 2^(bits-1) everywhere. */
  readonly zeroPoints: Uint8Array | null;
  readonly rows: number;
  readonly columns: number;
  readonly groupSize: number;
  readonly bits: number;
}): Float32Array<ArrayBuffer> => {
  const { codes, scales, zeroPoints, rows, columns, groupSize, bits } = input;
  expectSize(rows, columns);
  expectInteger('the group size', groupSize, 1, 2 ** 32 - 1);
  expectInteger('the number of bits', bits, 1, 8);
  expectLength('codes', codes, rows * columns);
  expectGrids(input, scales, zeroPoints);
  return callNative(() => addon().dequantize(codes, { rows, columns, groupSize }, scales, zeroPoints, 2 ** (bits - 1)));
};

const expectGrids = (
  size: { readonly rows: number; readonly columns: number; readonly groupSize: number },
  scales: Float32Array,
  zeroPoints: Uint8Array | null,
): void => {
  const count = size.rows * Math.ceil(size.columns / size.groupSize);
  expectLength('scales', scales, count);
  if (zeroPoints) expectLength('zero points', zeroPoints, count);
};
