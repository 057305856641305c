import { CompressError } from '../../errors.ts';
import type { OperatorBuilder } from '../../ir/build.ts';
import { type Attribute, intAttribute, type Node, type Value } from '../../ir/graph.ts';
import { readNumbers } from '../../ir/read.ts';
import { constantOf } from '../../ir/walk.ts';
import { rankOf, shapeOf } from '../broadcast.ts';
import type { Rule, RuleContext } from '../rule.ts';

/** Attributes of a Resize that say how one axis is interpolated. */
const interpolation = [
  'antialias',
  'coordinate_transformation_mode',
  'cubic_coeff_a',
  'exclude_outside',
  'extrapolation_value',
  'mode',
  'nearest_mode',
];

/** Element `index` of a vector, as a vector of one element. */
const pick = (build: OperatorBuilder, vector: Value, index: number): Value =>
  build.call('Gather', [vector, build.integers([index])], { axis: intAttribute(0) });

/** The unit matrix (length, length) in the element type of `like`. */
export const unitMatrix = (build: OperatorBuilder, length: Value, like: Value): Value => {
  const count = build.call('Range', [
    build.scalar(0, 'int64'),
    build.call('Squeeze', [length, build.integers([0])]),
    build.scalar(1, 'int64'),
  ]);
  const column = build.call('Unsqueeze', [count, build.integers([1])]);
  return build.castLike(build.call('Equal', [column, count]), like);
};

/** An optional input; an empty constant counts as missing. */
const given = (node: Node, index: number): Value | undefined => {
  const value = node.inputs[index];
  return constantOf(value)?.byteLength === 0 ? undefined : value;
};

/** Positions outside of the picture get a number. */
const isCropping = (node: Node): boolean => node.text('coordinate_transformation_mode') === 'tf_crop_and_resize';

/**
 * M (inputs, outputs) with y = x M along one axis. Resizing is linear and works axis by axis: its matrix is the unit
 * matrix, resized (less what resizing zeros gives, where positions outside are filled with a number).
 * @param order place of the axis in the node's `axes` (all axes by default).
 */
const axisMatrix = (context: RuleContext, axis: number, order: number, count: number): Value => {
  const { node, build, input } = context;
  const x = input(0);
  const attributes: Record<string, Attribute> = {};
  for (const name of interpolation) {
    const attribute = node.attributes.get(name);
    if (attribute) attributes[name] = attribute;
  }
  const length = build.call('Shape', [x], { start: intAttribute(axis), end: intAttribute(axis + 1) });
  const one = build.integers([1]);
  const square = build.call('Concat', [one, one, length, length], { axis: intAttribute(0) });
  const unit = build.reshape(unitMatrix(build, length, x), square);
  const [roi, scales, sizes] = [given(node, 1), given(node, 2), given(node, 3)];
  const join = (parts: readonly Value[]): Value => build.call('Concat', parts, { axis: intAttribute(0) });
  const oneAxisRoi = (): Value => {
    const zeros = build.castLike(build.integers([0, 0, 0]), roi!);
    const ones = build.castLike(build.integers([1, 1, 1]), roi!);
    return join([zeros, pick(build, roi!, order), ones, pick(build, roi!, order + count)]);
  };
  const resize = (value: Value): Value =>
    build.call(
      'Resize',
      [
        value,
        roi && isCropping(node) ? oneAxisRoi() : undefined,
        scales ? join([build.floats([3], [1, 1, 1], 'float32'), pick(build, scales, order)]) : undefined,
        sizes ? join([one, one, length, pick(build, sizes, order)]) : undefined,
      ],
      attributes,
    );
  const resized = resize(unit);
  const linear = isCropping(node) ? build.subtract(resized, resize(build.subtract(unit, unit))) : resized;
  return build.call('Squeeze', [linear, build.integers([0, 1])]);
};

/** Whether an axis keeps its length and its elements, as far as constants and shapes tell. */
const isKept = ({ node, input, output }: RuleContext, axis: number, order: number): boolean => {
  if (isCropping(node)) return false;
  const scales = given(node, 2);
  if (scales) {
    const constant = constantOf(scales);
    return constant !== undefined && readNumbers(constant)[order] === 1;
  }
  const [before, after] = [shapeOf(input(0))?.[axis], shapeOf(output(0))?.[axis]];
  return before !== undefined && before !== null && before === after;
};

/** Resize, every mode: ∂x = ∂y Mᵀ, axis by axis. */
export const resizeRule: Rule = (context) => {
  const { node, build, gradient, input } = context;
  const rank = rankOf(input(0));
  const policy = node.text('keep_aspect_ratio_policy') ?? 'stretch';
  if (rank === undefined || (policy !== 'stretch' && given(node, 3)))
    throw new CompressError({
      code: 'unsupported',
      message:
        rank === undefined
          ? 'the gradient of Resize needs a known rank'
          : `the gradient of Resize with keep_aspect_ratio_policy ${policy} is not supported`,
      where: { node: node.name },
      hint: 'Give the model fixed input shapes, and Resize explicit scales or sizes.',
    });
  const axes = (node.ints('axes') ?? Array.from({ length: rank }, (_, axis) => axis)).map((axis) =>
    axis < 0 ? axis + rank : axis,
  );
  let result = gradient;
  axes.forEach((axis, order) => {
    if (isKept(context, axis, order)) return;
    const matrix = build.transpose(axisMatrix(context, axis, order, axes.length), [1, 0]);
    const permutation = Array.from({ length: rank }, (_, at) => at);
    [permutation[axis], permutation[rank - 1]] = [rank - 1, axis];
    const turned = axis === rank - 1 ? result : build.transpose(result, permutation);
    const product = build.call('MatMul', [turned, matrix]);
    result = axis === rank - 1 ? product : build.transpose(product, permutation);
  });
  return [build.typed(result, input(0).type)];
};
