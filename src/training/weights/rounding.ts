import type { PackedTensor } from '../../ir/packed-tensor.ts';
import type { ParameterSpec } from '../parameters.ts';
import { arrangementOf, type GridOptions, leafShapeOf, TrainedGrid } from './grid.ts';
import type { TrainedWeight } from './weight.ts';

/** Offsets reach half a step: every weight may be rounded up or down, and no further. */
const farthest = 0.5;
/** Scales stay within this share of what they were. */
const widest = 0.5;

/**
 * A quantized weight of which only the rounding is trained: W + s·V with an offset V in [-½, ½] for each weight, rounded
 * to a grid whose scales and zero points may be trained too (Cheng et al. 2023, SignRound, section 3).
 * @param shadow W (rows, columns), rounded by the grid to the present integers.
 */
export const roundingWeight = (
  name: string,
  packed: PackedTensor,
  shadow: Float32Array,
  options: GridOptions & { readonly method: string },
): TrainedWeight => {
  const { rows, columns, groupSize, scales: steps } = packed.facts;
  const { groups } = packed;
  const grid = new TrainedGrid(name, packed, options);
  const moved = new Float32Array(rows * columns);
  const rounded = new Float32Array(rows * columns);
  const stepOf = (row: number, column: number): number => steps[row * groups + Math.floor(column / groupSize)]!;
  /** Keeps parameters within their bounds, where they lie. */
  const bound = (values: Float32Array, low: number, high: number): void => {
    for (let index = 0; index < values.length; index++) values[index] = Math.min(high, Math.max(low, values[index]!));
  };
  const move = (offsets: Float32Array): void => {
    for (let row = 0, at = 0; row < rows; row++)
      for (let column = 0; column < columns; column++, at++)
        moved[at] = shadow[at]! + stepOf(row, column) * offsets[at]!;
  };
  const place = ([offsets, ...values]: readonly Float32Array[]): void => {
    bound(offsets!, -farthest, farthest);
    if (options.scales === 'learned') bound(values[0]!, 1 - widest, 1 + widest);
    grid.set(values);
    move(offsets!);
  };
  const offsets: ParameterSpec = {
    name: `${name}#offsets`,
    shape: [rows, columns],
    group: 'matrix',
    initial: new Float32Array(rows * columns),
    unit: 1,
  };
  return {
    name,
    parameters: [offsets, ...grid.parameters],
    leafShape: leafShapeOf(packed),
    arrangement: arrangementOf(packed),
    leaf: async (values) => {
      place(values);
      grid.round(moved, rounded);
      return rounded;
    },
    pullBack: async (values, gradient) => {
      place(values);
      const ofGrid = grid.pullBack(moved, gradient);
      for (let row = 0, at = 0; row < rows; row++)
        for (let column = 0; column < columns; column++, at++) gradient[at]! *= stepOf(row, column);
      return [gradient, ...ofGrid];
    },
    tensor: async (values) => {
      place(values);
      return grid.pack(moved, options.method);
    },
  };
};
