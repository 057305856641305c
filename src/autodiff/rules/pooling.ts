import { CompressError } from '../../errors.ts';
import { intAttribute, intsAttribute, textAttribute, Value } from '../../ir/graph.ts';
import { tensorType } from '../../ir/shape.ts';
import { expandLike, rankOf, shapeOf } from '../broadcast.ts';
import type { Rule, RuleContext } from '../rule.ts';
import { zerosLike } from './movement.ts';
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
export const maxPoolRule: Rule = ({ node, build, gradient, input, output }) => {
  let places = node.outputs[1];
  if (!places) {
    places = new Value(`${output(0).name}.places`, tensorType('int64', shapeOf(output(0))));
    node.setOutput(1, places);
  }
  const flat = (value: Value): Value => build.reshape(value, build.integers([-1]));
  const scattered = build.call('ScatterElements', [flat(zerosLike(build, input(0))), flat(places), flat(gradient)], {
    axis: intAttribute(0),
    reduction: textAttribute('add'),
  });
  return [build.reshapeLike(scattered, input(0))];
};

/**
 * AveragePool as a depthwise convolution with ones: the gradient is divided by the number of elements that each window
 * really averaged, then spread by the transposed convolution.
 */
export const averagePoolRule: Rule = (context) => {
  const { node, build, gradient, input } = context;
  const kernel = node.ints('kernel_shape') ?? [];
  const channels = shapeOf(input(0))?.[1];
  const automatic = node.text('auto_pad') ?? 'NOTSET';
  if (
    typeof channels !== 'number' ||
    (automatic !== 'NOTSET' && automatic !== 'VALID') ||
    node.int('ceil_mode', 0) === 1
  )
    throw new CompressError({
      code: 'unsupported',
      message: 'the gradient of AveragePool needs a known number of channels, explicit pads and ceil_mode 0',
      where: { node: node.name },
    });
  const axes = kernel.length;
  const strides = node.ints('strides') ?? kernel.map(() => 1);
  const dilations = node.ints('dilations') ?? kernel.map(() => 1);
  const pads = node.ints('pads') ?? [...kernel, ...kernel].map(() => 0);
  const dtype = gradient.type?.kind === 'tensor' && gradient.type.dtype === 'float64' ? 'float64' : 'float32';
  const area = kernel.reduce((product, length) => product * length, 1);
  const windows = {
    kernel_shape: intsAttribute(kernel),
    strides: intsAttribute(strides),
    dilations: intsAttribute(dilations),
  };
  const ones = build.floats([channels, 1, ...kernel], new Float64Array(channels * area).fill(1), dtype);
  const counted = (): Value => {
    const everywhere = build.call('Add', [zerosLike(build, input(0)), build.scalarLike(1, input(0))]);
    return build.call('Conv', [everywhere, ones], {
      ...windows,
      pads: intsAttribute(pads),
      group: intAttribute(channels),
    });
  };
  const includesPadding = node.int('count_include_pad', 0) === 1 || pads.every((pad) => pad === 0);
  const share = includesPadding ? build.scale(gradient, 1 / area) : build.divide(gradient, counted());
  const full = build.call('ConvTranspose', [share, ones], { ...windows, group: intAttribute(channels) });
  const behind = strides.map((stride, axis) => stride - 1 + pads[axes + axis]!);
  const filled = build.call('Pad', [full, build.integers([0, 0, ...kernel.map(() => 0), 0, 0, ...behind])]);
  const starts = build.integers(pads.slice(0, axes));
  const ends = build.add(starts, build.call('Shape', [input(0)], { start: intAttribute(2) }));
  return [
    build.typed(
      build.call('Slice', [filled, starts, ends, build.integers(kernel.map((_, axis) => axis + 2))]),
      input(0).type,
    ),
  ];
};
