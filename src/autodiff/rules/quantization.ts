import { dtypeOf, type OperatorBuilder } from '../../ir/build.ts';
import { bitsOf, type DataType, isFloat } from '../../ir/data-type.ts';
import type { Node, Value } from '../../ir/graph.ts';
import { tensorOf } from '../../ir/read.ts';
import { tensorType } from '../../ir/shape.ts';
import { rankOf, shapeOf } from '../broadcast.ts';
import type { Rule } from '../rule.ts';

/**
 * QuantizeLinear and DequantizeLinear, straight through (Bengio, Léonard, Courville 2013): rounding is taken as the
 * identity, clipping is not. Integers carry no gradient of their own: what passes between the two operators is the
 * gradient for the number that the integer stands for. Together they give the step-size gradient of LSQ (Esser et al.
 * 2020): Σ g·(q - z) from the one, less Σ g·x/s where nothing was clipped from the other.
 */

/** Sums a value of the data's shape over everything that shares a scale; undefined where the shapes do not tell. */
const sumToScale = (build: OperatorBuilder, value: Value, node: Node, data: Value): Value | undefined => {
  const scale = node.inputs[1]!;
  const [rank, scaleRank] = [rankOf(data), rankOf(scale)];
  if (rank === undefined || scaleRank === undefined) return undefined;
  const axes = Array.from({ length: rank }, (_, axis) => axis);
  const at = node.int('axis', 1);
  const axis = at < 0 ? at + rank : at;
  const blockSize = node.int('block_size', 0);
  if (blockSize > 0) {
    const shape = shapeOf(data);
    if (!shape?.every((dim) => typeof dim === 'number') || (shape[axis] as number) % blockSize !== 0) return undefined;
    const blocks = [...shape.slice(0, axis), -1, blockSize, ...shape.slice(axis + 1)] as number[];
    return build.sumOver(build.reshape(value, build.integers(blocks)), [axis + 1], 'drop');
  }
  const others = scaleRank === 0 || shapeOf(scale)?.[0] === 1 ? axes : axes.filter((other) => other !== axis);
  return build.reshapeLike(build.sumOver(value, others, 'drop'), scale);
};

/** The least and the largest number that integers of a type can stand for, of the shape of the integers. */
const bounds = (build: OperatorBuilder, node: Node, integers: Value, dtype: DataType): [low: Value, high: Value] => {
  const bits = bitsOf(dtype);
  const [least, most] = dtype.startsWith('u') ? [0, 2 ** bits - 1] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
  const attributes = Object.fromEntries(
    ['axis', 'block_size'].flatMap((name) => {
      const attribute = node.attributes.get(name);
      return attribute ? [[name, attribute] as const] : [];
    }),
  );
  const shape = build.call('Shape', [integers]);
  const bound = (code: number): Value => {
    const whole = build.typed(
      build.call('Expand', [build.constant(tensorOf(dtype, [], [code])), shape]),
      tensorType(dtype, shapeOf(integers)),
    );
    const number = build.call('DequantizeLinear', [whole, node.inputs[1], node.inputs[2]], attributes);
    number.type = tensorType(dtypeOf(node.inputs[1]!), shapeOf(integers));
    return number;
  };
  return [bound(least), bound(most)];
};

export const quantizeRule: Rule = (context) => {
  const { node, build, gradient, input, output } = context;
  const dtype = dtypeOf(output(0));
  const clips = !isFloat(dtype) && bitsOf(dtype) <= 16;
  const passed = (): Value => {
    if (!clips) return gradient;
    const [low, high] = bounds(build, node, output(0), dtype);
    const above = build.call('GreaterOrEqual', [input(0), build.castLike(low, input(0))]);
    const below = build.call('LessOrEqual', [input(0), build.castLike(high, input(0))]);
    return build.multiply(gradient, build.castLike(build.call('And', [above, below]), gradient));
  };
  const inside = passed();
  const forScale = (): Value | undefined => {
    const sum = sumToScale(build, build.multiply(inside, input(0)), node, input(0));
    return sum && build.negate(build.divide(sum, input(1)));
  };
  return [inside, context.wants(1) ? forScale() : undefined];
};

export const dequantizeRule: Rule = (context) => {
  const { build, gradient, input, output, node } = context;
  const forScale = (): Value | undefined => {
    const sum = sumToScale(build, build.multiply(gradient, output(0)), node, input(0));
    return sum && build.divide(sum, input(1));
  };
  return [context.wants(0) ? gradient : undefined, context.wants(1) ? forScale() : undefined];
};
