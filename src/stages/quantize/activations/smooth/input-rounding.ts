import { codeRanges, type Grid, gridOf, numberOf } from '../grid.ts';
import { extremesOf, type Range } from '../ranges/range-method.ts';
import type { InputSample, RunExtremes } from './input-sample.ts';

/** How the inputs of a product will be rounded. */
export type InputRounding =
  /** One range for all data. */
  | {
      readonly kind: 'static';
      readonly type: 'uint8' | 'int8';
      readonly symmetric: boolean;
    }
  /** One range for everything that a run holds. */
  | { readonly kind: 'run' }
  /** One range around zero for each row. */
  | { readonly kind: 'row' };

const toGrid = (values: Float32Array, grid: Grid): void => {
  const low = numberOf(grid.lowest, grid);
  const high = numberOf(grid.highest, grid);
  const { scale } = grid;
  for (let index = 0; index < values.length; index++) {
    const value = Math.min(Math.max(values[index]!, low), high);
    values[index] = Math.round(value / scale) * scale;
  }
};

/** The range of values whose channels are divided. */
const dividedRange = ({ low, high }: RunExtremes, divisors: Float32Array): Range => {
  let [least, greatest] = [0, 0];
  for (let channel = 0; channel < divisors.length; channel++) {
    least = Math.min(least, low[channel]! / divisors[channel]!);
    greatest = Math.max(greatest, high[channel]! / divisors[channel]!);
  }
  return { low: least, high: greatest };
};

/** (count, channels): the rows of a sample, each channel divided, rounded as they will be. */
export const roundedInputs = (sample: InputSample, divisors: Float32Array, rounding: InputRounding): Float32Array => {
  const { channels, rows, runOf } = sample;
  for (let index = 0; index < rows.length; index++) rows[index]! /= divisors[index % channels]!;
  if (rounding.kind === 'static') {
    const range = dividedRange(sample.extremes, divisors);
    toGrid(rows, gridOf(range, codeRanges[rounding.type], rounding.symmetric ? 'symmetric' : 'asymmetric'));
    return rows;
  }
  const rowAt = (row: number): Float32Array => rows.subarray(row * channels, (row + 1) * channels);
  if (rounding.kind === 'row') {
    for (let row = 0; row < sample.count; row++)
      toGrid(rowAt(row), gridOf(extremesOf(rowAt(row)), codeRanges.int8, 'symmetric'));
    return rows;
  }
  const grids = new Map<number, Grid>();
  for (const [row, run] of runOf.entries()) {
    const grid = grids.get(run) ?? gridOf(dividedRange(sample.runs[run]!, divisors), codeRanges.uint8, 'asymmetric');
    grids.set(run, grid);
    toGrid(rowAt(row), grid);
  }
  return rows;
};
