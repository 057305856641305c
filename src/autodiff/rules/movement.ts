import { CompressError, internalError } from '../../errors.ts';
import type { OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, type Node, textAttribute, type Value } from '../../ir/graph.ts';
import { readInts } from '../../ir/read.ts';
import { constantOf } from '../../ir/walk.ts';
import { rankOf, shapeOf, sumToShapeOf } from '../broadcast.ts';
import type { Rule } from '../rule.ts';

/** Reshape, Flatten, Squeeze, Unsqueeze: the same elements in another shape. */
export const reshapeRule: Rule = ({ build, gradient, input }) => [build.reshapeLike(gradient, input(0))];

export const identityRule: Rule = ({ gradient }) => [gradient];

export const castRule: Rule = ({ build, gradient, input }) => [build.castLike(gradient, input(0))];

/** Dropout as inference runs it (identity); in training the mask output scales the gradient. */
export const dropoutRule: Rule = ({ node, build, gradient }) => {
  const training = node.inputs[2];
  const mask = node.outputs[1];
  if (!training) return [gradient];
  if (!mask || !node.inputs[1])
    throw new CompressError({
      code: 'unsupported',
      message: 'a Dropout that may be training needs its mask output and its ratio to be differentiated',
      where: { node: node.name },
      hint: 'Set training_mode to false, or keep the mask as an output.',
    });
  const kept = build.subtract(build.scalarLike(1, gradient), build.castLike(node.inputs[1], gradient));
  const scaled = build.divide(build.multiply(gradient, build.castLike(mask, gradient)), kept);
  return [build.call('Where', [training, scaled, gradient])];
};

export const transposeRule: Rule = ({ node, build, gradient, input }) => {
  const rank = rankOf(input(0)) ?? node.ints('perm')?.length;
  if (rank === undefined) throw internalError('the rank of a transposed value must be known', { node: node.name });
  const permutation = node.ints('perm') ?? Array.from({ length: rank }, (_, axis) => rank - 1 - axis);
  const inverse = new Array<number>(rank);
  permutation.forEach((from, to) => {
    inverse[from] = to;
  });
  return [build.transpose(gradient, inverse)];
};

/** Length of a value along an axis, as an int64 vector of one element. */
const lengthAlong = (build: OperatorBuilder, value: Value, axis: number): Value => {
  const shape = shapeOf(value);
  const known = shape?.at(axis);
  if (typeof known === 'number') return build.integers([known]);
  const from = axis < 0 && shape ? axis + shape.length : axis;
  return build.call('Shape', [value], {
    start: intAttribute(from),
    ...(from === -1 ? {} : { end: intAttribute(from + 1) }),
  });
};

export const concatRule: Rule = (context) => {
  const { node, build, gradient } = context;
  const axis = node.int('axis', 0);
  const count = node.inputs.length;
  if (count === 1) return [gradient];
  const sizes = build.call(
    'Concat',
    node.inputs.map((_, index) => lengthAlong(build, context.input(index), axis)),
    { axis: intAttribute(0) },
  );
  return build.calls('Split', [gradient, sizes], count, { axis: intAttribute(axis) });
};

/** Zeros of the shape of `like`. */
export const zerosLike = (build: OperatorBuilder, like: Value): Value =>
  build.typed(build.call('Expand', [build.scalarLike(0, like), build.call('Shape', [like])]), like.type);

export const splitRule: Rule = ({ node, build, gradients }) => {
  const parts = node.outputs.map((output, index) => gradients[index] ?? zerosLike(build, output!));
  return [build.call('Concat', parts, { axis: intAttribute(node.int('axis', 0)) })];
};

export const expandRule: Rule = (context) => [
  sumToShapeOf(context.build, context.gradient, context.output(0), context.input(0)),
];

/** Tile: axes split into (repeats, length), summed over the repeats. */
export const tileRule: Rule = ({ node, build, gradient, input }) => {
  const rank = rankOf(input(0));
  if (rank === undefined) throw internalError('the rank of a tiled value must be known', { node: node.name });
  const column = (value: Value): Value => build.call('Unsqueeze', [value, build.integers([1])]);
  const pairs = build.call('Concat', [column(input(1)), column(build.call('Shape', [input(0)]))], {
    axis: intAttribute(1),
  });
  const split = build.reshape(gradient, build.reshape(pairs, build.integers([-1])));
  return [
    build.sumOver(
      split,
      Array.from({ length: rank }, (_, axis) => 2 * axis),
      'drop',
    ),
  ];
};

export const triluRule: Rule = ({ node, build, gradient }) => [
  build.call('Trilu', [gradient, node.inputs[1]], { upper: intAttribute(node.int('upper', 1)) }),
];

export const cumulativeSumRule: Rule = ({ node, build, gradient, input }) => [
  build.call('CumSum', [gradient, input(1)], {
    exclusive: intAttribute(node.int('exclusive', 0)),
    reverse: intAttribute(1 - node.int('reverse', 0)),
  }),
];

/** DepthToSpace and SpaceToDepth undo each other in the DCR order; the CRD order is undone by reshaping. */
export const depthToSpaceRule: Rule = ({ node, build, gradient, input }) => {
  const block = node.int('blocksize', 1);
  if ((node.text('mode') ?? 'DCR') === 'DCR')
    return [build.call('SpaceToDepth', [gradient], { blocksize: intAttribute(block) })];
  const shape = build.call('Shape', [input(0)]);
  const [batch, channels, height, width] = [0, 1, 2, 3].map((axis) =>
    build.call('Gather', [shape, build.integers([axis])], { axis: intAttribute(0) }),
  ) as [Value, Value, Value, Value];
  const size = build.integers([block]);
  const outer = build.divide(channels, build.integers([block * block]));
  const split = build.call('Concat', [batch, outer, height, size, width, size], { axis: intAttribute(0) });
  return [build.reshapeLike(build.transpose(build.reshape(gradient, split), [0, 1, 3, 5, 2, 4]), input(0))];
};

export const spaceToDepthRule: Rule = ({ node, build, gradient }) => [
  build.call('DepthToSpace', [gradient], {
    blocksize: intAttribute(node.int('blocksize', 1)),
    mode: textAttribute('DCR'),
  }),
];

/** Integers of a constant input, or undefined when it is computed. */
export const constantIntegers = (node: Node, index: number): number[] | undefined => {
  const tensor = constantOf(node.inputs[index]);
  return tensor ? readInts(tensor) : undefined;
};
