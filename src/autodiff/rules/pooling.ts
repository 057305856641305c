import { CompressError } from '../../errors.ts';
import { intAttribute, intsAttribute, textAttribute, type Value } from '../../ir/graph.ts';
import { expandLike, rankOf, shapeOf } from '../broadcast.ts';
import type { Rule, RuleContext } from '../rule.ts';
import { zerosLike } from './movement.ts';
import { placesOf } from './selection.ts';
import { indicator } from './unary.ts';

/** Axes after batch and channels. */
const positionsOf = ({ node, input }: RuleContext): number[] => {
  const rank = rankOf(input(0)) ?? 2 + (node.ints('kernel_shape')?.length ?? 2);
  return Array.from({ length: rank - 2 }, (_, axis) => axis + 2);
};

export const globalAverageRule: Rule = (context) => {
  const { build, gradient, input } = context;
  const count = build.divide(build.call('Size', [input(0)]), build.call('Size', [gradient]));
  return [expandLike(build, build.divide(gradient, build.castLike(count, gradient)), input(0))];
};

export const globalMaximumRule: Rule = (context) => {
  const { build, gradient, input, output } = context;
  const hit = indicator(build, build.call('Equal', [input(0), output(0)]), input(0));
  const ties = build.sumOver(hit, positionsOf(context), 'keep');
  return [build.typed(build.multiply(build.divide(hit, ties), gradient), input(0).type)];
};

/** MaxPool: the operator's own second output says where every maximum stood; gradients are added up there. */
export const maxPoolRule: Rule = ({ node, build, gradient, input }) => {
  const places = placesOf(node);
  const flat = (value: Value): Value => build.reshape(value, build.integers([-1]));
  const scattered = build.call('ScatterElements', [flat(zerosLike(build, input(0))), flat(places), flat(gradient)], {
    axis: intAttribute(0),
    reduction: textAttribute('add'),
  });
  return [build.reshapeLike(scattered, input(0))];
};

/** Pads of a pooling node, begins then ends; automatic ones need known spatial dimensions. */
const padsOf = ({ node, input }: RuleContext, kernel: readonly number[], strides: readonly number[]): number[] => {
  const automatic = node.text('auto_pad') ?? 'NOTSET';
  if (automatic === 'NOTSET') return [...(node.ints('pads') ?? [...kernel, ...kernel].map(() => 0))];
  if (automatic === 'VALID') return [...kernel, ...kernel].map(() => 0);
  const spatial = shapeOf(input(0))?.slice(2);
  const dilations = node.ints('dilations') ?? kernel.map(() => 1);
  if (!spatial?.every((dim) => typeof dim === 'number'))
    throw new CompressError({
      code: 'unsupported',
      message: `the gradient of ${node.op} with auto_pad ${automatic} needs known spatial dimensions`,
      where: { node: node.name },
      hint: 'Give the model fixed input shapes, or explicit pads.',
    });
  const totals = kernel.map((length, axis) => {
    const size = spatial[axis] as number;
    const outputs = Math.ceil(size / strides[axis]!);
    return Math.max(0, (outputs - 1) * strides[axis]! + (length - 1) * dilations[axis]! + 1 - size);
  });
  const [smaller, larger] = [totals.map((total) => Math.floor(total / 2)), totals.map((total) => Math.ceil(total / 2))];
  return automatic === 'SAME_UPPER' ? [...smaller, ...larger] : [...larger, ...smaller];
};

/**
 * AveragePool as a convolution of single channels with ones: the gradient is divided by the number of elements that each
 * window really averaged, then spread by the transposed convolution. Channels are laid among the batch.
 */
export const averagePoolRule: Rule = (context) => {
  const { node, build, gradient, input } = context;
  const kernel = node.ints('kernel_shape') ?? [];
  const axes = kernel.length;
  const strides = node.ints('strides') ?? kernel.map(() => 1);
  const dilations = node.ints('dilations') ?? kernel.map(() => 1);
  const pads = padsOf(context, kernel, strides);
  const dtype = gradient.type?.kind === 'tensor' && gradient.type.dtype === 'float64' ? 'float64' : 'float32';
  const area = kernel.reduce((product, length) => product * length, 1);
  const windows = {
    kernel_shape: intsAttribute(kernel),
    strides: intsAttribute(strides),
    dilations: intsAttribute(dilations),
  };
  const ones = build.floats([1, 1, ...kernel], new Float64Array(area).fill(1), dtype);
  const spatial = (value: Value): Value => build.call('Shape', [value], { start: intAttribute(2) });
  const inPictures = (value: Value): Value =>
    build.reshape(value, build.call('Concat', [build.integers([-1, 1]), spatial(value)], { axis: intAttribute(0) }));
  const spatialAxes = build.integers(kernel.map((_, axis) => axis + 2));
  const zeros = build.integers(kernel.map(() => 0));
  const padded = (value: Value, begins: readonly number[], ends: readonly number[], fill?: Value): Value =>
    build.call('Pad', [value, build.integers([0, 0, ...begins, 0, 0, ...ends]), fill]);
  const none = kernel.map(() => 0);
  /** A window that begins inside may reach this far beyond the padded end (ceil_mode). */
  const beyond = node.int('ceil_mode', 0) === 1 ? strides.map((stride) => stride - 1) : none;
  const [begins, ends] = [pads.slice(0, axes), pads.slice(axes)];
  const includesPadding = node.int('count_include_pad', 0) === 1;
  const everyWindowIsFull =
    (includesPadding || pads.every((pad) => pad === 0)) && beyond.every((length) => length === 0);
  /** Elements in each window: those of the input, and the padding where it counts. */
  const counts = (): Value => {
    const picture = build.call('Expand', [
      build.scalarLike(1, input(0)),
      build.call('Concat', [build.integers([1, 1]), spatial(input(0))], { axis: intAttribute(0) }),
    ]);
    const counted = padded(picture, begins, ends, build.scalarLike(includesPadding ? 1 : 0, input(0)));
    const all = build.call('Conv', [padded(counted, none, beyond), ones], windows);
    return build.call('Slice', [all, zeros, spatial(gradient), spatialAxes]);
  };
  const share = everyWindowIsFull ? build.scale(gradient, 1 / area) : build.divide(gradient, counts());
  const full = build.call('ConvTranspose', [inPictures(share), ones], windows);
  const filled = padded(
    full,
    none,
    strides.map((stride, axis) => stride - 1 + ends[axis]!),
  );
  const starts = build.integers(begins);
  const cut = build.call('Slice', [filled, starts, build.add(starts, spatial(input(0))), spatialAxes]);
  return [build.reshapeLike(cut, input(0))];
};
