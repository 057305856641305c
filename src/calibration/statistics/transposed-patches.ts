import type { ConvolutionGeometry, PictureSize } from '../../analysis/convolution.ts';

/** Pictures (batch, channels, height, width). */
export interface Pictures {
  readonly data: Float32Array;
  readonly batch: number;
  readonly channels: number;
  readonly size: PictureSize;
}

/**
 * The pictures over which a plain convolution (stride 1, no padding, the same dilations) computes what a transposed
 * convolution computes over `x`, mirrored: y[p] = Σ_k W[k] x̃[p + pad − d·k], where x̃ is x with stride − 1 zeros
 * between its pixels. Mirrored, the offset of W[k] grows with k as in a plain convolution, so that unfolded patches
 * have their columns in the order of W; the order of positions does not matter to second moments.
 */
export const mirrorForTransposed = (
  x: Pictures,
  geometry: ConvolutionGeometry & { readonly outputPadding: readonly [number, number] },
): Pictures => {
  const { kernel, strides, dilations, pads, outputPadding } = geometry;
  const along = (axis: 0 | 1): { length: number; placeOf: (pixel: number) => number } => {
    const reach = (kernel[axis] - 1) * dilations[axis];
    const stuffed = (x.size[axis] - 1) * strides[axis] + 1;
    // Mirroring exchanges the ends: the output's end padding is in front.
    const before = reach - pads[axis + 2]! + outputPadding[axis];
    const after = reach - pads[axis]!;
    return {
      length: before + stuffed + after,
      placeOf: (pixel) => before + stuffed - 1 - pixel * strides[axis],
    };
  };
  const vertical = along(0);
  const horizontal = along(1);
  const size = [Math.max(0, vertical.length), Math.max(0, horizontal.length)] as const;
  const data = new Float32Array(x.batch * x.channels * size[0] * size[1]);
  const [height, width] = x.size;
  for (let plane = 0; plane < x.batch * x.channels; plane++)
    for (let row = 0; row < height; row++) {
      const toRow = vertical.placeOf(row);
      if (toRow < 0 || toRow >= size[0]) continue;
      for (let column = 0; column < width; column++) {
        const toColumn = horizontal.placeOf(column);
        if (toColumn < 0 || toColumn >= size[1]) continue;
        data[(plane * size[0] + toRow) * size[1] + toColumn] = x.data[(plane * height + row) * width + column]!;
      }
    }
  return { data, batch: x.batch, channels: x.channels, size };
};
