import { PackedTensor } from '../../ir/packed-tensor.ts';
import { arrangementOf, leafShapeOf, scaleFactors } from './grid.ts';
import type { TrainedWeight } from './weight.ts';

/**
 * A quantized weight of which only the scales are trained, its integers fixed (Chen et al. 2024, EfficientQAT, section
 * 3.3): `weight = code-less-zero · initial scale · factor`.
 */
export const scaledWeight = (name: string, packed: PackedTensor, method: string): TrainedWeight => {
  const { rows, columns, groupSize, scales } = packed.facts;
  const { groups } = packed;
  const start = packed.matrix();
  const leaf = new Float32Array(rows * columns);
  const factors = scaleFactors(name, packed);
  return {
    name,
    parameters: [factors],
    leafShape: leafShapeOf(packed),
    arrangement: arrangementOf(packed),
    leaf: async ([values]) => {
      for (let row = 0, at = 0; row < rows; row++)
        for (let column = 0; column < columns; column++, at++)
          leaf[at] = start[at]! * values![row * groups + Math.floor(column / groupSize)]!;
      return leaf;
    },
    pullBack: async (_, gradient) => {
      const sums = new Float32Array(rows * groups);
      for (let row = 0, at = 0; row < rows; row++)
        for (let column = 0; column < columns; column++, at++)
          sums[row * groups + Math.floor(column / groupSize)]! += gradient[at]! * start[at]!;
      return [sums];
    },
    tensor: async ([values]) => {
      const trained = Float32Array.from(scales, (scale, index) => scale * values![index]!);
      return new PackedTensor({ ...packed.facts, scales: trained, method: `${packed.facts.method}+${method}` });
    },
  };
};
