import type { Node } from '../../../../ir/graph.ts';
import { readNumbers } from '../../../../ir/read.ts';
import { constantOf } from '../../../../ir/walk.ts';
import { attentionRules } from './attention-rules.ts';
import {
  beforeReshape,
  beforeTranspose,
  embedPattern,
  ofRank,
  otherAxes,
  type Pattern,
  patternAlong,
  slicePattern,
  variesAlong,
} from './pattern.ts';
import { type ScalingRule, type Traced, type TraceStep, together } from './step.ts';

const nothing: Traced = { constants: [], ties: [] };

/** A positive factor may be taken out of the operator: f(a · x) = a · f(x), element by element or channel by channel. */
const homogeneous: ScalingRule = ({ scale, pattern }) => scale(0, pattern);

/** Both terms take the factors. */
const sum: ScalingRule = ({ scaleBroadcast }) => together(scaleBroadcast(0), scaleBroadcast(1));

/** One factor of the product takes them: a constant, else whichever can. */
const product: ScalingRule = ({ isConstant, scaleBroadcast, node }) => {
  if (node.inputs[0] === node.inputs[1]) return undefined;
  const order = isConstant(1) ? [1, 0] : [0, 1];
  for (const index of order) {
    const found = scaleBroadcast(index);
    if (found) return found;
  }
  return undefined;
};

const quotient: ScalingRule = ({ scaleBroadcast }) => scaleBroadcast(0);

/** Columns of a constant matrix, or what the attention weights mix. */
const matrixProduct: ScalingRule = ({ node, pattern, isConstant, scale, shape, scaleBroadcast }) => {
  const rank = pattern.shape.length;
  if (variesAlong(pattern, [rank - 2])) return undefined;
  if (isConstant(1)) {
    const weight = shape(node.inputs[1]);
    return weight?.length === 2 && !variesAlong(pattern, otherAxes(rank, rank - 1))
      ? scale(1, ofRank(pattern, 2))
      : undefined;
  }
  return scaleBroadcast(1);
};

const gemm: ScalingRule = ({ node, pattern, isConstant, scale, scaleBroadcast }) => {
  if (!isConstant(1) || pattern.shape[0] !== 1) return undefined;
  const weight = node.int('transB', 0) === 1 ? patternAlong(2, 0, pattern.ids) : pattern;
  return together(scale(1, weight), node.inputs[2] ? scaleBroadcast(2) : nothing);
};

/** Channels of a convolution's result are rows of its filters. */
const convolution: ScalingRule = ({ node, pattern, scale, shape }) => {
  const rank = pattern.shape.length;
  if (variesAlong(pattern, otherAxes(rank, 1))) return undefined;
  const transposed = node.op === 'ConvTranspose';
  if (transposed && node.int('group', 1) !== 1) return undefined;
  const filters = shape(node.inputs[1]);
  if (!filters || filters[transposed ? 1 : 0] !== pattern.ids.length) return undefined;
  const bias = node.inputs[2] ? scale(2, patternAlong(1, 0, pattern.ids)) : nothing;
  return together(scale(1, patternAlong(rank, transposed ? 1 : 0, pattern.ids)), bias);
};

/** Gain and shift after the statistics, at these inputs, over the axes from `axis` on. */
const normalization =
  (gain: number, shift: number | undefined): ScalingRule =>
  ({ node, pattern, output, scale }) => {
    const rank = pattern.shape.length;
    const axis = node.int('axis', -1);
    const first = axis < 0 ? axis + rank : axis;
    const own = ofRank(pattern, rank - first);
    if (output !== 0 || !own) return undefined;
    return together(scale(gain, own), shift !== undefined && node.inputs[shift] ? scale(shift, own) : nothing);
  };

/** Gain and shift of each channel (axis 1). */
const channelNormalization: ScalingRule = ({ pattern, output, scale }) => {
  if (output !== 0 || variesAlong(pattern, otherAxes(pattern.shape.length, 1))) return undefined;
  const own = patternAlong(1, 0, pattern.ids);
  return together(scale(1, own), scale(2, own));
};

const transpose: ScalingRule = ({ node, pattern, scale }) => {
  const permutation = node.ints('perm') ?? pattern.shape.map((_, axis) => pattern.shape.length - 1 - axis);
  return scale(0, beforeTranspose(pattern, permutation));
};

const reshape: ScalingRule = ({ node, pattern, scale, shape }) => {
  const [made, read] = [shape(node.outputs[0]), shape(node.inputs[0])];
  return made && read ? scale(0, beforeReshape(pattern, made, read)) : undefined;
};

const expand: ScalingRule = ({ scaleBroadcast }) => scaleBroadcast(0);

const axisOf = (node: Node, rank: number, fallback: number): number => {
  const axis = node.int('axis', fallback);
  return axis < 0 ? axis + rank : axis;
};

/** Lengths along an axis of every input or output; undefined when one is not known. */
const lengthsAlong = (values: Node['inputs'], axis: number, { shape }: TraceStep): number[] | undefined => {
  const lengths = values.map((value) => shape(value)?.[axis]);
  return lengths.every((length) => typeof length === 'number') ? lengths : undefined;
};

const concatenation: ScalingRule = (step) => {
  const { node, pattern, scale } = step;
  const axis = axisOf(node, pattern.shape.length, 0);
  if (!variesAlong(pattern, [axis])) return together(...node.inputs.map((_, index) => scale(index, pattern)));
  const lengths = lengthsAlong(node.inputs, axis, step);
  if (!lengths) return undefined;
  let begin = 0;
  const parts: Pattern[] = lengths.map((length) => {
    const part = slicePattern(pattern, axis, begin, length);
    begin += length;
    return part;
  });
  return together(...parts.map((part, index) => scale(index, part)));
};

/** The other parts of what is split stay as they are. */
const split: ScalingRule = (step) => {
  const { node, pattern, output, scale, shape } = step;
  const axis = axisOf(node, pattern.shape.length, 0);
  const lengths = lengthsAlong(node.outputs, axis, step);
  const whole = shape(node.inputs[0])?.[axis];
  if (!lengths || typeof whole !== 'number' || !variesAlong(pattern, [axis])) return undefined;
  const begin = lengths.slice(0, output).reduce((sum, length) => sum + length, 0);
  return scale(0, embedPattern(pattern, axis, begin, whole));
};

/** Zeros stay zeros. */
const padding: ScalingRule = ({ node, pattern, scale }) => {
  const filler = node.inputs[2];
  const mode = node.text('mode') ?? 'constant';
  const tensor = constantOf(filler);
  const zeros = filler ? tensor && Array.from(readNumbers(tensor)).every((value) => value === 0) : true;
  const zero = node.float('value', 0) === 0;
  return mode !== 'constant' || (zeros && zero) ? scale(0, pattern) : undefined;
};

/** Spatial results of pooling belong to the channel of what they are taken from. */
const pooling: ScalingRule = ({ node, pattern, scale }) =>
  node.outputs[1] || variesAlong(pattern, otherAxes(pattern.shape.length, 1)) ? undefined : scale(0, pattern);

const standard: Readonly<Record<string, ScalingRule>> = {
  Add: sum,
  AveragePool: pooling,
  BatchNormalization: channelNormalization,
  Concat: concatenation,
  Conv: convolution,
  ConvTranspose: convolution,
  Div: quotient,
  Dropout: homogeneous,
  Expand: expand,
  Flatten: reshape,
  Gemm: gemm,
  GlobalAveragePool: pooling,
  GlobalMaxPool: pooling,
  Identity: homogeneous,
  InstanceNormalization: channelNormalization,
  LayerNormalization: normalization(1, 2),
  LeakyRelu: homogeneous,
  MatMul: matrixProduct,
  MaxPool: pooling,
  Mul: product,
  PRelu: homogeneous,
  Pad: padding,
  RMSNormalization: normalization(1, undefined),
  Relu: homogeneous,
  Reshape: reshape,
  SimplifiedLayerNormalization: normalization(1, undefined),
  Split: split,
  Squeeze: reshape,
  Sub: sum,
  Transpose: transpose,
  Unsqueeze: reshape,
};

const microsoft: Readonly<Record<string, ScalingRule>> = {
  SkipLayerNormalization: normalization(2, 3),
  SkipSimplifiedLayerNormalization: normalization(2, undefined),
};

/** How operators hand factors on, by 'domain:operator'. An operator that is not listed hands on none. */
export const scalingRules: ReadonlyMap<string, ScalingRule> = new Map([
  ...Object.entries({ ...standard, ...attentionRules.standard }).map(([op, rule]) => [`:${op}`, rule] as const),
  ...Object.entries({ ...microsoft, ...attentionRules.microsoft }).map(
    ([op, rule]) => [`com.microsoft:${op}`, rule] as const,
  ),
]);
