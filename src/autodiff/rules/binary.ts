import type { OperatorBuilder } from '../../ir/build.ts';
import type { Value } from '../../ir/graph.ts';
import { readScalar } from '../../ir/read.ts';
import { elementCount } from '../../ir/shape.ts';
import { constantOf } from '../../ir/walk.ts';
import { rankOf, sumToShapeOf } from '../broadcast.ts';
import type { Rule, RuleContext } from '../rule.ts';
import { indicator } from './unary.ts';

/** Sums a gradient of the output's shape down to the shape of an input. */
const toInputOf = ({ build, output }: RuleContext, gradient: Value, input: Value): Value =>
  sumToShapeOf(build, gradient, output(0), input);

const toInput = (context: RuleContext, gradient: Value, index: number): Value =>
  toInputOf(context, gradient, context.input(index));

export const addRule: Rule = (context) =>
  [0, 1].map((index) => (context.wants(index) ? toInput(context, context.gradient, index) : undefined));

export const subtractRule: Rule = (context) => [
  context.wants(0) ? toInput(context, context.gradient, 0) : undefined,
  context.wants(1) ? toInput(context, context.build.negate(context.gradient), 1) : undefined,
];

export const multiplyRule: Rule = (context) => {
  const { build, gradient, input } = context;
  return [0, 1].map((index) =>
    context.wants(index) ? toInput(context, build.multiply(gradient, input(1 - index)), index) : undefined,
  );
};

export const divideRule: Rule = (context) => {
  const { build, gradient, input, output } = context;
  const scaled = build.divide(gradient, input(1));
  return [
    context.wants(0) ? toInput(context, scaled, 0) : undefined,
    context.wants(1) ? toInput(context, build.negate(build.multiply(scaled, output(0))), 1) : undefined,
  ];
};

/** The number that a constant exponent holds, where it is one number. */
const exponentOf = (value: Value): number | undefined => {
  const constant = constantOf(value);
  return constant && elementCount(constant.shape) === 1 ? readScalar(constant) : undefined;
};

/** p·x^(p-1), without powers where the exponent is a small number. */
const powerSlope = (build: OperatorBuilder, base: Value, output: Value, exponent: Value): Value => {
  const number = exponentOf(exponent);
  if (number === 1) return build.scalarLike(1, base);
  if (number === 2) return build.scale(base, 2);
  if (number === 3) return build.scale(build.multiply(base, base), 3);
  if (number === 0.5) return build.divide(build.scalarLike(0.5, base), output);
  const p = number === undefined ? build.castLike(exponent, base) : build.scalarLike(number, base);
  const less = number === undefined ? build.subtract(p, build.scalarLike(1, base)) : build.scalarLike(number - 1, base);
  return build.multiply(p, build.call('Pow', [base, less]));
};

/** y = x^p: dy/dx = p·x^(p-1); dy/dp = y·log x, taken as 0 where x is not positive. */
export const powerRule: Rule = (context) => {
  const { build, gradient, input, output } = context;
  const base = input(0);
  const slope = (): Value => powerSlope(build, base, output(0), input(1));
  const logarithm = (): Value => {
    const positive = build.call('Greater', [base, build.scalarLike(0, base)]);
    const safe = build.call('Where', [positive, base, build.scalarLike(1, base)]);
    return build.call('Log', [safe]);
  };
  return [
    context.wants(0) ? toInput(context, build.multiply(gradient, slope()), 0) : undefined,
    context.wants(1)
      ? toInput(context, build.multiply(gradient, build.multiply(output(0), logarithm())), 1)
      : undefined,
  ];
};

/** Max and Min of any number of tensors: the gradient goes to the first input that equals the result. */
export const extremumRule: Rule = (context) => {
  const { node, build, gradient, output } = context;
  let free: Value | undefined;
  return node.inputs.map((input, index) => {
    if (!input) return undefined;
    const hit = build.call('Equal', [build.call('Expand', [input, build.call('Shape', [output(0)])]), output(0)]);
    const mine: Value = free ? build.call('And', [hit, free]) : hit;
    free = free ? build.call('And', [free, build.call('Not', [hit])]) : build.call('Not', [hit]);
    if (!context.wants(index)) return undefined;
    return toInput(context, build.multiply(gradient, indicator(build, mine, gradient)), index);
  });
};

/** Sum and Mean of any number of tensors. */
export const sumRule =
  (kind: 'sum' | 'mean'): Rule =>
  (context) => {
    const { node, build, gradient } = context;
    const share = kind === 'sum' ? gradient : build.scale(gradient, 1 / node.inputs.length);
    return node.inputs.map((_, index) => (context.wants(index) ? toInput(context, share, index) : undefined));
  };

export const whereRule: Rule = (context) => {
  const { build, gradient, input } = context;
  const zero = build.scalarLike(0, gradient);
  const pick = (yes: Value, no: Value, index: number): Value =>
    toInput(context, build.typed(build.call('Where', [input(0), yes, no]), context.output(0).type), index);
  return [
    undefined,
    context.wants(1) ? pick(gradient, zero, 1) : undefined,
    context.wants(2) ? pick(zero, gradient, 2) : undefined,
  ];
};

/** PRelu: x where positive, slope·x elsewhere; the slope is broadcast to x. */
export const parametricReluRule: Rule = (context) => {
  const { build, gradient, input } = context;
  const [x, slope] = [input(0), input(1)];
  const positive = build.call('Greater', [x, build.scalarLike(0, x)]);
  const negativePart = (): Value => build.call('Min', [x, build.scalarLike(0, x)]);
  return [
    context.wants(0)
      ? toInput(context, build.multiply(gradient, build.call('Where', [positive, build.scalarLike(1, x), slope])), 0)
      : undefined,
    context.wants(1) ? toInput(context, build.multiply(gradient, negativePart()), 1) : undefined,
  ];
};

/** Clip: passes where the input lies within the bounds; a bound gets the gradient of what it cuts. */
export const clipRule: Rule = (context) => {
  const { node, build, gradient, input } = context;
  const x = input(0);
  const [low, high] = [node.inputs[1], node.inputs[2]];
  const within = (bound: Value | undefined, op: 'GreaterOrEqual' | 'LessOrEqual'): Value[] =>
    bound ? [build.call(op, [x, bound])] : [];
  const conditions = [...within(low, 'GreaterOrEqual'), ...within(high, 'LessOrEqual')];
  const inside = conditions.length > 1 ? build.call('And', conditions) : conditions[0];
  const cutBy = (bound: Value, op: 'Less' | 'Greater'): Value =>
    toInputOf(context, build.multiply(gradient, indicator(build, build.call(op, [x, bound]), gradient)), bound);
  return [
    inside ? build.multiply(gradient, indicator(build, inside, gradient)) : gradient,
    low && context.wants(1) ? cutBy(low, 'Less') : undefined,
    high && context.wants(2) ? cutBy(high, 'Greater') : undefined,
  ];
};

/** Mod as C computes it for floats: y = a - b·trunc(a / b). */
export const moduloRule: Rule = (context) => {
  const { build, gradient, input } = context;
  const quotient = (): Value => {
    const whole = build.divide(input(0), input(1));
    return build.multiply(build.call('Sign', [whole]), build.call('Floor', [build.call('Abs', [whole])]));
  };
  return [
    context.wants(0) ? toInput(context, gradient, 0) : undefined,
    context.wants(1) ? toInput(context, build.negate(build.multiply(gradient, quotient())), 1) : undefined,
  ];
};

/**
 * The product Y = P V that all of the gradient of the probabilities P came through, ∂P = ∂Y Vᵀ, with ∂Y; undefined where
 * P weighs nothing, or more than this.
 */
const weighedBy = (
  p: Value,
  gradient: Value,
  gradientOf: RuleContext['gradientOf'],
): { readonly result: Value; readonly resultGradient: Value } | undefined => {
  const { producer } = gradient;
  if (producer?.op !== 'MatMul') return undefined;
  for (const { node, index } of p.uses) {
    const [result] = node.outputs;
    if (node.op !== 'MatMul' || node.domain !== '' || index !== 0 || !result) continue;
    const values = node.inputs[1];
    const turned = producer.inputs[1]?.producer;
    const resultGradient = gradientOf(result);
    if (
      resultGradient &&
      resultGradient === producer.inputs[0] &&
      turned?.op === 'Transpose' &&
      turned.inputs[0] === values
    )
      return { result, resultGradient };
  }
  return undefined;
};

/**
 * Softmax over the axis: y ∘ (g - Σ g∘y). In attention, where y weighs values along its last axis, Σ g∘y is Σ ∂O∘O over
 * the result's channels (Dao et al. 2022, section 3.1), which are far fewer than the keys.
 */
export const softmaxRule: Rule = ({ node, build, gradient, gradientOf, output }) => {
  const y = output(0);
  const axis = node.int('axis', -1);
  const isLast = axis === -1 || axis === (rankOf(y) ?? 0) - 1;
  const weighed = isLast && (rankOf(y) ?? 0) > 1 ? weighedBy(y, gradient, gradientOf) : undefined;
  const sum = weighed
    ? build.sumOver(build.multiply(weighed.resultGradient, weighed.result), [-1], 'keep')
    : build.sumOver(build.multiply(gradient, y), [axis], 'keep');
  return [build.multiply(y, build.subtract(gradient, sum))];
};

/** LogSoftmax over the axis: g - softmax ∘ Σ g. */
export const logSoftmaxRule: Rule = ({ node, build, gradient, output }) => {
  const probabilities = build.call('Exp', [output(0)]);
  const total = build.sumOver(gradient, [node.int('axis', -1)], 'keep');
  return [build.subtract(gradient, build.multiply(probabilities, total))];
};
