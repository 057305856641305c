import type { OperatorBuilder } from '../../ir/build.ts';
import { dtypeOf } from '../../ir/build.ts';
import { dataTypes } from '../../ir/data-type.ts';
import { intAttribute, type Value } from '../../ir/graph.ts';
import { expandLike } from '../broadcast.ts';
import type { Rule, RuleContext } from '../rule.ts';
import { indicator } from './unary.ts';

/** Axes of a reduction as a value: from the input (opset 13/18 on) or the attribute; undefined means all axes. */
const axesOf = ({ node, build }: RuleContext): Value | undefined => {
  if (node.inputs[1]) return node.inputs[1];
  const axes = node.ints('axes');
  return axes ? build.integers(axes) : undefined;
};

/** True when the reduction does nothing: no axes and noop_with_empty_axes. */
const isNoop = (context: RuleContext): boolean =>
  axesOf(context) === undefined && context.node.int('noop_with_empty_axes', 0) === 1;

/** A value of the output's shape with the reduced axes put back (size 1), so that it broadcasts over the input. */
const restored = (context: RuleContext, value: Value): Value => {
  const axes = axesOf(context);
  if (context.node.int('keepdims', 1) === 1 || !axes) return value;
  return context.build.call('Unsqueeze', [value, axes]);
};

/** How many input elements make one output element, as a number of the input's element type. */
const reducedCount = ({ build, input, output }: RuleContext): Value => {
  const count = build.divide(build.call('Size', [input(0)]), build.call('Size', [output(0)]));
  return build.call('Cast', [count], { to: intAttribute(dataTypes[dtypeOf(input(0))].onnx) });
};

/** ∂x = restore(g) ∘ factor(x, restored y), broadcast to the input's shape. */
const reduction =
  (factor: (build: OperatorBuilder, x: Value, y: () => Value, context: RuleContext) => Value | undefined): Rule =>
  (context) => {
    const { build, gradient, input, output } = context;
    const x = input(0);
    const g = isNoop(context) ? gradient : restored(context, gradient);
    const slope = factor(build, x, () => restored(context, output(0)), context);
    return [slope ? build.typed(build.multiply(g, slope), x.type) : expandLike(build, g, x)];
  };

export const reduceSumRule: Rule = reduction(() => undefined);

export const reduceMeanRule: Rule = (context) => {
  const { build, gradient, input } = context;
  return [expandLike(build, build.divide(restored(context, gradient), reducedCount(context)), input(0))];
};

/** Max, Min: shared evenly among the elements that attain it. */
export const reduceExtremumRule: Rule = (context) => {
  const { build, gradient, input, output } = context;
  const x = input(0);
  const hit = indicator(build, build.call('Equal', [x, restored(context, output(0))]), x);
  const axes = axesOf(context);
  const ties = build.call('ReduceSum', axes ? [hit, axes] : [hit], { keepdims: intAttribute(1) });
  return [build.typed(build.multiply(build.divide(hit, ties), restored(context, gradient)), x.type)];
};

export const reduceSumSquareRule: Rule = reduction((build, x) => build.scale(x, 2));
export const reduceL1Rule: Rule = reduction((build, x) => build.call('Sign', [x]));
/** x / ‖x‖, 0 where the norm is 0. */
export const reduceL2Rule: Rule = reduction((build, x, y) => {
  const norm = y();
  const safe = build.call('Where', [build.call('Equal', [norm, build.scalarLike(0, x)]), build.scalarLike(1, x), norm]);
  return build.divide(x, safe);
});
/** g·e^(-y), the same for every element of the sum. */
export const reduceLogSumRule: Rule = reduction((build, x, y) =>
  expandLike(build, build.call('Exp', [build.negate(y())]), x),
);
export const reduceLogSumExpRule: Rule = reduction((build, x, y) => build.call('Exp', [build.subtract(x, y())]));
/** Product: y / x; elements equal to zero are not supported and give infinities, which training reports. */
export const reduceProdRule: Rule = reduction((build, x, y) => build.divide(y(), x));
