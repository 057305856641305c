import type { OperatorBuilder } from '../../ir/build.ts';
import type { Value } from '../../ir/graph.ts';
import { sumToShapeOf } from '../broadcast.ts';
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

/** y = x^p: dy/dx = p·x^(p-1); dy/dp = y·log x, taken as 0 where x is not positive. */
export const powerRule: Rule = (context) => {
  const { build, gradient, input, output } = context;
  const base = input(0);
  const exponent = context.wants(1) ? input(1) : build.castLike(input(1), base);
  const slope = (): Value =>
    build.multiply(exponent, build.call('Pow', [base, build.subtract(exponent, build.scalarLike(1, base))]));
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

/** Softmax over the axis: y ∘ (g - Σ g∘y). */
const weighted = (build: OperatorBuilder, gradient: Value, y: Value, axis: number): Value =>
  build.sumOver(build.multiply(gradient, y), [axis], 'keep');

export const softmaxRule: Rule = ({ node, build, gradient, output }) => {
  const y = output(0);
  return [build.multiply(y, build.subtract(gradient, weighted(build, gradient, y, node.int('axis', -1))))];
};

/** LogSoftmax over the axis: g - softmax ∘ Σ g. */
export const logSoftmaxRule: Rule = ({ node, build, gradient, output }) => {
  const probabilities = build.call('Exp', [output(0)]);
  const total = build.sumOver(gradient, [node.int('axis', -1)], 'keep');
  return [build.subtract(gradient, build.multiply(probabilities, total))];
};
