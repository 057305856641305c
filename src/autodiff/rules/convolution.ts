import { CompressError, internalError } from '../../errors.ts';
import type { OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, intsAttribute, type Value } from '../../ir/graph.ts';
import { rankOf, shapeOf } from '../broadcast.ts';
import type { Rule, RuleContext } from '../rule.ts';

/** A convolution's geometry, spatial axes only. */
interface Geometry {
  readonly axes: number;
  /** Undefined where the filter is itself computed and its size is known only when the graph runs. */
  readonly kernel: readonly number[] | undefined;
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** All begins, then all ends. */
  readonly pads: readonly number[];
  readonly group: number;
}

const geometryOf = (context: RuleContext): Geometry => {
  const { node, input } = context;
  const axes = (rankOf(input(1)) ?? node.ints('kernel_shape')?.length ?? 0) - (rankOf(input(1)) === undefined ? 0 : 2);
  if (axes < 1) throw internalError('the rank of a convolution must be known to differentiate it', { node: node.name });
  const ones = new Array<number>(axes).fill(1);
  const kernel = node.ints('kernel_shape') ?? shapeOf(input(1))?.slice(2);
  const known = kernel?.every((length) => typeof length === 'number') ? (kernel as readonly number[]) : undefined;
  const strides = node.ints('strides') ?? ones;
  const dilations = node.ints('dilations') ?? ones;
  return {
    axes,
    kernel: known,
    strides,
    dilations,
    pads: padsOf(context, axes, known, strides, dilations),
    group: node.int('group', 1),
  };
};

/** Explicit pads; automatic ones need known spatial dimensions. */
const padsOf = (
  { node, input }: Pick<RuleContext, 'node' | 'input'>,
  axes: number,
  kernel: readonly number[] | undefined,
  strides: readonly number[],
  dilations: readonly number[],
): readonly number[] => {
  const automatic = node.text('auto_pad') ?? 'NOTSET';
  const none = new Array<number>(2 * axes).fill(0);
  if (automatic === 'NOTSET') return node.ints('pads') ?? none;
  if (automatic === 'VALID') return none;
  const spatial = shapeOf(input(0))?.slice(2);
  if (node.op === 'ConvTranspose' || !kernel || !spatial?.every((dim) => typeof dim === 'number'))
    throw new CompressError({
      code: 'unsupported',
      message: `auto_pad ${automatic} needs known spatial dimensions to be differentiated`,
      where: { node: node.name },
      hint: 'Give the model fixed input shapes, or explicit pads.',
    });
  const totals = kernel.map((length, axis) => {
    const size = spatial[axis] as number;
    const outputs = Math.ceil(size / strides[axis]!);
    return Math.max(0, (outputs - 1) * strides[axis]! + (length - 1) * dilations[axis]! + 1 - size);
  });
  const smaller = totals.map((total) => Math.floor(total / 2));
  const larger = totals.map((total) => Math.ceil(total / 2));
  return automatic === 'SAME_UPPER' ? [...smaller, ...larger] : [...larger, ...smaller];
};

const spatialAxes = (geometry: Geometry): number[] => Array.from({ length: geometry.axes }, (_, axis) => axis + 2);

/** The attribute that states the size of the filter, where it is known. */
const kernelAttribute = ({ kernel }: Geometry) => (kernel ? { kernel_shape: intsAttribute(kernel) } : {});

/** Lengths of a value's spatial axes, as an int64 vector. */
const spatialShape = (build: OperatorBuilder, value: Value): Value =>
  build.call('Shape', [value], { start: intAttribute(2) });

/**
 * The transposed convolution of `gradient` with `weight`, cut to the spatial size of `like`: it is made without padding,
 * filled up behind by what the stride rounded off, and cut at the padding.
 */
const convolveBack = (
  build: OperatorBuilder,
  gradient: Value,
  weight: Value,
  geometry: Geometry,
  like: Value,
): Value => {
  const { axes, strides, dilations, pads, group } = geometry;
  const full = build.call('ConvTranspose', [gradient, weight], {
    ...kernelAttribute(geometry),
    strides: intsAttribute(strides),
    dilations: intsAttribute(dilations),
    group: intAttribute(group),
  });
  const begins = pads.slice(0, axes);
  const behind = strides.map((stride, axis) => stride - 1 + pads[axes + axis]!);
  const filled = behind.some((length) => length > 0)
    ? build.call('Pad', [full, build.integers([0, 0, ...begins.map(() => 0), 0, 0, ...behind])])
    : full;
  const starts = build.integers(begins);
  const ends = build.add(starts, spatialShape(build, like));
  return build.typed(build.call('Slice', [filled, starts, ends, build.integers(spatialAxes(geometry))]), like.type);
};

/** (batch, group·channels, …) → (channels, group·batch, …): batches become the channels that a product sums over. */
const batchToChannels = (build: OperatorBuilder, value: Value, group: number, axes: number): Value => {
  const rest = Array.from({ length: axes }, (_, axis) => axis + 2);
  if (group === 1) return build.transpose(value, [1, 0, ...rest]);
  const shape = build.call('Shape', [value]);
  const at = (from: number, to?: number): Value =>
    build.call('Slice', [
      shape,
      build.integers([from]),
      build.integers([to ?? Number.MAX_SAFE_INTEGER]),
      build.integers([0]),
    ]);
  const count = build.integers([group]);
  const split = build.call('Concat', [at(0, 1), count, build.integers([-1]), at(2)], { axis: intAttribute(0) });
  const moved = build.transpose(build.reshape(value, split), [2, 1, 0, ...rest.map((axis) => axis + 1)]);
  const channels = build.divide(at(1, 2), count);
  const merged = build.call('Concat', [channels, build.multiply(count, at(0, 1)), at(2)], { axis: intAttribute(0) });
  return build.reshape(moved, merged);
};

/**
 * ∂W[o, c, k] = Σ over batch and positions of x[c at p·stride + k·dilation - pad] · g[o at p]: itself a convolution,
 * in which strides and dilations change places and the batch plays the channels; one grouped call for all groups.
 */
const weightGradient = (build: OperatorBuilder, x: Value, g: Value, geometry: Geometry, weight: Value): Value => {
  const { axes, strides, dilations, pads, group } = geometry;
  const rest = Array.from({ length: axes }, (_, axis) => axis + 2);
  const product = build.call('Conv', [batchToChannels(build, x, group, axes), build.transpose(g, [1, 0, ...rest])], {
    strides: intsAttribute(dilations),
    dilations: intsAttribute(strides),
    pads: intsAttribute(pads),
    group: intAttribute(group),
  });
  const cut = build.call('Slice', [
    product,
    build.integers(rest.map(() => 0)),
    spatialShape(build, weight),
    build.integers(rest),
  ]);
  return build.typed(build.transpose(cut, [1, 0, ...rest]), weight.type);
};

const biasGradient = ({ build, gradient }: RuleContext, axes: number): Value =>
  build.sumOver(gradient, [0, ...Array.from({ length: axes }, (_, axis) => axis + 2)], 'drop');

/** Conv of any rank, with groups (depthwise included), strides, dilations and padding. */
export const convolutionRule: Rule = (context) => {
  const { build, gradient, input } = context;
  const geometry = geometryOf(context);
  return [
    context.wants(0) ? convolveBack(build, gradient, input(1), geometry, input(0)) : undefined,
    context.wants(1) ? weightGradient(build, input(0), gradient, geometry, input(1)) : undefined,
    context.wants(2) ? biasGradient(context, geometry.axes) : undefined,
  ];
};

/** ConvTranspose: its gradient for x is the convolution that it transposes. */
export const transposedConvolutionRule: Rule = (context) => {
  const { node, build, gradient, input } = context;
  if (node.ints('output_shape'))
    throw new CompressError({
      code: 'unsupported',
      message: 'the gradient of ConvTranspose with output_shape is not supported',
      where: { node: node.name },
      hint: 'Give explicit pads and output_padding.',
    });
  const geometry = geometryOf(context);
  const { strides, dilations, pads, group } = geometry;
  const forX = (): Value =>
    build.typed(
      build.call('Conv', [gradient, input(1)], {
        ...kernelAttribute(geometry),
        strides: intsAttribute(strides),
        dilations: intsAttribute(dilations),
        pads: intsAttribute(pads),
        group: intAttribute(group),
      }),
      input(0).type,
    );
  return [
    context.wants(0) ? forX() : undefined,
    context.wants(1) ? weightGradient(build, gradient, input(0), geometry, input(1)) : undefined,
    context.wants(2) ? biasGradient(context, geometry.axes) : undefined,
  ];
};
