import type { ConvolutionGeometry } from '../../analysis/convolution.ts';
import type { Pictures } from './transposed-patches.ts';

export interface UnfoldOptions {
  readonly geometry: ConvolutionGeometry;
  /** Convolution groups that the channels are divided into, and the one that is unfolded. */
  readonly groups: number;
  readonly group: number;
}

export interface Unfolded {
  /** (positions, columns): rows by picture, then output row, then output column; columns by channel, then filter place. */
  readonly data: Float32Array;
  readonly positions: number;
}

/** The inputs of a convolution as rows of the product that it is, with zeros where a filter reaches over the edge. */
export const unfoldPatches = (pictures: Pictures, options: UnfoldOptions): Unfolded => {
  const { data, batch, channels, size } = pictures;
  const { geometry, groups, group } = options;
  const { kernel, strides, dilations, pads } = geometry;
  const [height, width] = size;
  const reach = (axis: 0 | 1): number => (kernel[axis] - 1) * dilations[axis] + 1;
  const outputs = (axis: 0 | 1, length: number): number =>
    Math.max(0, Math.floor((length + pads[axis]! + pads[axis + 2]! - reach(axis)) / strides[axis]) + 1);
  const [rows, across] = [outputs(0, height), outputs(1, width)];
  const own = channels / groups;
  const columns = own * kernel[0] * kernel[1];
  const positions = batch * rows * across;
  const unfolded = new Float32Array(positions * columns);
  let at = 0;
  for (let picture = 0; picture < batch; picture++)
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < across; column++)
        for (let channel = group * own; channel < (group + 1) * own; channel++) {
          const plane = (picture * channels + channel) * height;
          for (let i = 0; i < kernel[0]; i++) {
            const y = row * strides[0] - pads[0] + i * dilations[0];
            for (let j = 0; j < kernel[1]; j++, at++) {
              const x = column * strides[1] - pads[1] + j * dilations[1];
              if (y >= 0 && y < height && x >= 0 && x < width) unfolded[at] = data[(plane + y) * width + x]!;
            }
          }
        }
  return { data: unfolded, positions };
};
