import type { Node } from '../ir/graph.ts';

/** Geometry of a convolution over one or two dimensions; one dimension counts as height 1. */
export interface ConvolutionGeometry {
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  /** [top, left, bottom, right]; may be negative for transposed convolutions (cropping). */
  readonly pads: readonly [number, number, number, number];
}

/** A picture size [height, width]. */
export type PictureSize = readonly [number, number];

const pairOf = (list: readonly number[] | undefined, rank: number, fallback: number): [number, number] => {
  const [first = fallback, second = fallback] = list ?? [];
  return rank === 1 ? [1, first] : [first, second];
};

const padsOf = (list: readonly number[] | undefined, rank: number): [number, number, number, number] => {
  const [a = 0, b = 0, c = 0, d = 0] = list ?? [];
  return rank === 1 ? [0, a, 0, b] : [a, b, c, d];
};

/** Splits a padding in two; the odd one goes to the end for SAME_UPPER, to the beginning for SAME_LOWER. */
const splitPadding = (total: number, upper: boolean): [number, number] => {
  const half = Math.floor(total / 2);
  return upper ? [half, total - half] : [total - half, half];
};

/** Number of spatial dimensions of a convolution weight [a, b, ...kernel] when they are supported (1 or 2). */
export const spatialRank = (weightShape: readonly number[]): 1 | 2 | undefined => {
  const rank = weightShape.length - 2;
  return rank === 1 || rank === 2 ? rank : undefined;
};

/** The geometry of a Conv node for an input of this size (needed for auto_pad). ONNX operator Conv. */
export const convolutionGeometry = (
  node: Node,
  weightShape: readonly number[],
  input: PictureSize,
): ConvolutionGeometry => {
  const rank = spatialRank(weightShape) ?? 2;
  const kernel = pairOf(weightShape.slice(2), rank, 1);
  const strides = pairOf(node.ints('strides'), rank, 1);
  const dilations = pairOf(node.ints('dilations'), rank, 1);
  const autoPad = node.text('auto_pad') ?? 'NOTSET';
  if (autoPad === 'VALID') return { kernel, strides, dilations, pads: [0, 0, 0, 0] };
  if (autoPad === 'NOTSET') return { kernel, strides, dilations, pads: padsOf(node.ints('pads'), rank) };
  const along = (axis: 0 | 1): [number, number] => {
    const size = input[axis];
    const outputs = Math.ceil(size / strides[axis]);
    const total = Math.max(0, (outputs - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1 - size);
    return splitPadding(total, autoPad === 'SAME_UPPER');
  };
  const [top, bottom] = along(0);
  const [left, right] = along(1);
  return { kernel, strides, dilations, pads: [top, left, bottom, right] };
};

/** The geometry of a ConvTranspose node, and what output_padding adds at the end of each dimension. */
export const transposedGeometry = (
  node: Node,
  weightShape: readonly number[],
  input: PictureSize,
): ConvolutionGeometry & { readonly outputPadding: readonly [number, number] } => {
  const rank = spatialRank(weightShape) ?? 2;
  const kernel = pairOf(weightShape.slice(2), rank, 1);
  const strides = pairOf(node.ints('strides'), rank, 1);
  const dilations = pairOf(node.ints('dilations'), rank, 1);
  const outputPadding = pairOf(node.ints('output_padding'), rank, 0);
  const base = {
    kernel,
    strides,
    dilations,
    outputPadding: rank === 1 ? ([0, outputPadding[1]] as const) : outputPadding,
  };
  const autoPad = node.text('auto_pad') ?? 'NOTSET';
  const stated = node.ints('output_shape');
  if (!stated && autoPad === 'VALID') return { ...base, pads: [0, 0, 0, 0] };
  if (!stated && autoPad === 'NOTSET') return { ...base, pads: padsOf(node.ints('pads'), rank) };
  const wanted = stated
    ? pairOf(stated.slice(-rank), rank, 1)
    : ([input[0] * strides[0], input[1] * strides[1]] as const);
  const along = (axis: 0 | 1): [number, number] => {
    const reach = (kernel[axis] - 1) * dilations[axis] + 1;
    const total = strides[axis] * (input[axis] - 1) + base.outputPadding[axis] + reach - wanted[axis];
    return splitPadding(total, autoPad === 'SAME_UPPER');
  };
  const [top, bottom] = along(0);
  const [left, right] = along(1);
  return { ...base, pads: [top, left, bottom, right] };
};
