import { CompressError } from '../../../errors.ts';
import { roundHalfEven } from '../../../ir/minifloat.ts';
import type { Range } from './ranges/range-method.ts';

/** The integers that a quantized tensor may hold. */
export interface CodeRange {
  readonly dtype: 'uint8' | 'int8';
  readonly lowest: number;
  readonly highest: number;
}

export const codeRanges = {
  uint8: { dtype: 'uint8', lowest: 0, highest: 255 },
  int8: { dtype: 'int8', lowest: -128, highest: 127 },
} as const satisfies Record<string, CodeRange>;

/** Evenly spaced values of a quantized tensor: real = (code - zeroPoint) · scale, code in lowest..highest. */
export interface Grid extends CodeRange {
  /** Positive, exactly a float32. */
  readonly scale: number;
  /** A code: zero is always on the grid. */
  readonly zeroPoint: number;
}

/** Scales smaller than this would lose bits as float32 numbers. */
const smallestScale = 2 ** -126;

/**
 * The grid over a range. Zero is always exactly representable: padding and Relu make zeros. A range of zeros alone gets
 * the scale 1.
 * @throws CompressError 'numeric' when an end of the range is no finite number.
 */
export const gridOf = (range: Range, codes: CodeRange, placement: 'symmetric' | 'asymmetric'): Grid => {
  if (!Number.isFinite(range.low) || !Number.isFinite(range.high))
    throw new CompressError({
      code: 'numeric',
      message: `a range from ${range.low} to ${range.high} cannot be quantized`,
      hint: 'The calibration data make the model compute infinities or NaN.',
    });
  const low = Math.min(range.low, 0);
  const high = Math.max(range.high, 0);
  const { dtype, lowest, highest } = codes;
  const middle = (lowest + highest + 1) / 2;
  const size =
    placement === 'symmetric' ? Math.max(-low, high) / (highest - middle) : (high - low) / (highest - lowest);
  if (size === 0) return { dtype, lowest, highest, scale: 1, zeroPoint: placement === 'symmetric' ? middle : lowest };
  const scale = Math.fround(Math.max(size, smallestScale));
  const zeroPoint =
    placement === 'symmetric' ? middle : Math.min(Math.max(lowest + roundHalfEven(-low / scale), lowest), highest);
  return { dtype, lowest, highest, scale, zeroPoint };
};

/** The code of a value: nearest, ties to even, clamped. */
export const codeOf = (value: number, grid: Grid): number =>
  Math.min(
    Math.max(roundHalfEven(Math.fround(Math.fround(value) / grid.scale)) + grid.zeroPoint, grid.lowest),
    grid.highest,
  );

/** The value that a code stands for. */
export const numberOf = (code: number, grid: Grid): number => Math.fround((code - grid.zeroPoint) * grid.scale);

/** The largest and the smallest value on a grid. */
export const endsOf = (grid: Grid): Range => ({ low: numberOf(grid.lowest, grid), high: numberOf(grid.highest, grid) });
