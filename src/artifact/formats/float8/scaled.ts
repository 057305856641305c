import { floatTensor, readFloats } from '../../../ir/read.ts';
import { DerivedTensor, type Tensor } from '../../../ir/tensor.ts';
import { isScaleType, type PartReader, scaleTypes } from '../quantized/modules.ts';

const float8Types = ['float8e4m3fn', 'float8e5m2'] as const;

/**
 * A matrix (rows, columns) of 8-bit floats times its scales, in the type of the scales: one for all, one a row, or one
 * for each block of a grid that covers the matrix (the last blocks may stick out).
 * @param block rows and columns of a block; undefined: as many as make the grid cover the matrix evenly.
 */
export const scaledFloats = (
  reader: PartReader,
  weightName: string,
  scaleName: string,
  block?: readonly [number, number],
): Tensor | undefined => {
  const weight = reader.take(weightName, float8Types, 2);
  const rank = reader.source.has(scaleName) ? reader.source.get(scaleName).shape.length : 2;
  const scales = reader.take(scaleName, scaleTypes, Math.min(rank, 2));
  if (!weight || !scales || !isScaleType(scales.dtype)) return undefined;
  const [rows = 0, columns = 0] = weight.shape;
  const [down = 1, across = 1] = scales.shape;
  const height = block?.[0] ?? Math.ceil(rows / down);
  const width = block?.[1] ?? Math.ceil(columns / across);
  const single = down * across === 1;
  if (!single && (Math.ceil(rows / height) !== down || Math.ceil(columns / width) !== across))
    return reader.complain({
      code: 'mismatch',
      tensor: scaleName,
      message: `scales [${scales.shape.join(', ')}] do not cover the weight [${weight.shape.join(', ')}]`,
    });
  const { dtype } = scales;
  return new DerivedTensor(dtype, [rows, columns], () => {
    const made = Float32Array.from(readFloats(weight));
    const factors = readFloats(scales);
    for (let row = 0, at = 0; row < rows; row++)
      for (let column = 0; column < columns; column++, at++)
        made[at] = made[at]! * factors[single ? 0 : Math.floor(row / height) * across + Math.floor(column / width)]!;
    return floatTensor([rows, columns], made, dtype).bytes();
  });
};
