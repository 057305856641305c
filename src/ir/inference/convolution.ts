import type { DataType } from '../data-type.ts';
import { addDims, divideDimsExactly, multiplyDims, productOfDims, sameDim, subtractDims } from '../dimension.ts';
import { type Dim, formatShape, type Shape } from '../shape.ts';
import type { Call, Rule, RuleTable } from './call.ts';
import { tensorFact } from './fact.ts';
import { windowPositions, windowsOf } from './windows.ts';

/** Shape of a convolution of input `x` with weights of shape (M, C / group, kernel…). */
const convolutionShape = (call: Call, x: Shape | undefined, weights: Shape | undefined): Shape | undefined => {
  const rank = x?.length ?? weights?.length;
  if (rank === undefined) return undefined;
  if (rank < 3) call.problem(`a convolution needs rank 3 or more, found ${formatShape(x ?? weights)}`);
  if (weights && weights.length !== rank)
    call.problem(`input ${formatShape(x)} and weights ${formatShape(weights)} differ in rank`);
  const stated = call.node.ints('kernel_shape');
  const kernel = weights?.slice(2) ?? stated;
  if (!x || !kernel) return [x?.[0] ?? null, weights?.[0] ?? null, ...(x ?? weights ?? []).slice(2).map(() => null)];
  if (stated?.some((size, axis) => sameDim(size, kernel[axis] ?? null) === false))
    call.problem(`kernel_shape is [${stated.join(', ')}], the weights are ${formatShape(weights)}`);
  const channels = multiplyDims(weights?.[1] ?? null, call.node.int('group', 1));
  if (sameDim(x[1] ?? null, channels) === false)
    call.problem(
      `the input has ${x[1]} channels, weights ${formatShape(weights)} in ${call.node.int('group', 1)} groups need ${channels}`,
    );
  return [x[0] ?? null, weights?.[0] ?? null, ...windowPositions(call, x.slice(2), windowsOf(call, kernel))];
};

const convolution: Rule = (call) => [
  tensorFact(call.dtype(0) ?? call.dtype(1), convolutionShape(call, call.shape(0), call.shape(1))),
];

/** Weights are (C, M / group, kernel…). */
const transposed: Rule = (call) => {
  const dtype = call.dtype(0) ?? call.dtype(1);
  const [x, weights] = [call.shape(0), call.shape(1)];
  if (!x || !weights) return [tensorFact(dtype, x && [x[0] ?? null, null, ...x.slice(2).map(() => null)])];
  if (x.length !== weights.length)
    call.problem(`input ${formatShape(x)} and weights ${formatShape(weights)} differ in rank`);
  if (sameDim(x[1] ?? null, weights[0] ?? null) === false)
    call.problem(`the input has ${x[1]} channels, the weights need ${weights[0]}`);
  const windows = windowsOf(call, weights.slice(2));
  const stated = call.node.ints('output_shape');
  const extra = call.node.ints('output_padding');
  const spatial = x.slice(2).map((dim, axis): Dim => {
    if (stated) return stated[axis] ?? null;
    const stride = windows.strides[axis]!;
    if (windows.autoPad.startsWith('SAME')) return multiplyDims(dim, stride);
    const reach = addDims(multiplyDims(windows.dilations[axis]!, subtractDims(windows.kernel[axis] ?? null, 1)), 1);
    const pads = windows.autoPad === 'VALID' ? 0 : windows.pads[axis]! + windows.pads[axis + x.length - 2]!;
    const whole = addDims(multiplyDims(stride, subtractDims(dim, 1)), reach);
    return addDims(whole, (extra?.[axis] ?? 0) - pads);
  });
  const channels = multiplyDims(weights[1] ?? null, call.node.int('group', 1));
  return [tensorFact(dtype, [x[0] ?? null, channels, ...spatial])];
};

/** Image blocks laid out as columns, put together again: (N, C * blocks, L) → (N, C, image…). */
const columnsToImage: Rule = (call) => {
  const x = call.shapeOfRank(0, 3);
  const image = call.contents(1);
  const block = call.contents(2);
  if (!image) return [tensorFact(call.dtype(0))];
  const channels = block ? divideDimsExactly(x?.[1] ?? null, productOfDims(block)) : null;
  return [tensorFact(call.dtype(0), [x?.[0] ?? null, channels, ...image])];
};

/** A convolution of integers gives 32-bit sums. */
const integerConvolution: Rule = (call) => [tensorFact('int32', convolutionShape(call, call.shape(0), call.shape(1)))];

/** x, scale, zero, w, scale, zero, y scale, y zero: the output has the type of its zero point. */
const quantizedConvolution: Rule = (call) => {
  const dtype: DataType | undefined = call.dtype(7) ?? call.dtype(0);
  return [tensorFact(dtype, convolutionShape(call, call.shape(0), call.shape(3)))];
};

export const convolutionRules: RuleTable = {
  Conv: convolution,
  ConvInteger: integerConvolution,
  QLinearConv: quantizedConvolution,
  ConvTranspose: transposed,
  DeformConv: convolution,
  Col2Im: columnsToImage,
};
