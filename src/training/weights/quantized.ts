import type { PackedTensor } from '../../ir/packed-tensor.ts';
import type { ParameterSpec } from '../parameters.ts';
import { arrangementOf, type GridOptions, leafShapeOf, TrainedGrid } from './grid.ts';
import type { TrainedWeight } from './weight.ts';

export interface QuantizedOptions extends GridOptions {
  /** Where the shadow begins: (rows, columns), rounded by the grid to the present integers; default their own values. */
  readonly shadow?: Float32Array;
  /** What the result's method is called after its first one. */
  readonly method: string;
}

/**
 * A quantized weight in quantization-aware training: a float shadow that is rounded to its grid in every forward pass,
 * with straight-through gradients. The result is made of the integers that were trained.
 */
export const quantizedWeight = (name: string, packed: PackedTensor, options: QuantizedOptions): TrainedWeight => {
  const { rows, columns } = packed.facts;
  const grid = new TrainedGrid(name, packed, options);
  const rounded = new Float32Array(rows * columns);
  const shadow: ParameterSpec = {
    name,
    shape: [rows, columns],
    group: 'matrix',
    initial: options.shadow ?? packed.matrix(),
  };
  return {
    name,
    parameters: [shadow, ...grid.parameters],
    leafShape: leafShapeOf(packed),
    arrangement: arrangementOf(packed),
    leaf: async ([weights, ...values]) => {
      grid.set(values);
      grid.round(weights!, rounded);
      return rounded;
    },
    pullBack: async ([weights, ...values], gradient) => {
      grid.set(values);
      const ofGrid = grid.pullBack(weights!, gradient);
      return [gradient, ...ofGrid];
    },
    tensor: async ([weights, ...values]) => {
      grid.set(values);
      return grid.pack(weights!, options.method);
    },
  };
};
