import type { OperatorBuilder } from '../../ir/build.ts';
import type { Value } from '../../ir/graph.ts';
import type { Rule } from '../rule.ts';

/** dy/dx of an elementwise function, from its input and output. */
type Derivative = (build: OperatorBuilder, x: Value, y: Value, node: Parameters<Rule>[0]['node']) => Value;

/** ∂loss/∂x = ∂loss/∂y · dy/dx for y = f(x) elementwise. */
export const elementwise =
  (derivative: Derivative): Rule =>
  ({ node, build, gradient, input, output }) => [
    build.multiply(gradient, derivative(build, input(0), output(0), node)),
  ];

const one = (build: OperatorBuilder, like: Value): Value => build.scalarLike(1, like);
const square = (build: OperatorBuilder, x: Value): Value => build.multiply(x, x);

/** 1 where the condition holds, else 0, in the element type of `like`. */
export const indicator = (build: OperatorBuilder, condition: Value, like: Value): Value =>
  build.castLike(condition, like);

const greater = (build: OperatorBuilder, x: Value, bound: number): Value =>
  build.call('Greater', [x, build.scalarLike(bound, x)]);

/** s(1 - s) for s = sigmoid. */
const logistic = (build: OperatorBuilder, s: Value): Value => build.multiply(s, build.subtract(one(build, s), s));

/** Standard normal density. */
const normalDensity = (build: OperatorBuilder, x: Value): Value =>
  build.scale(build.call('Exp', [build.scale(square(build, x), -0.5)]), 1 / Math.sqrt(2 * Math.PI));

/** Standard normal distribution function. */
const normalDistribution = (build: OperatorBuilder, x: Value): Value =>
  build.scale(build.add(one(build, x), build.call('Erf', [build.scale(x, Math.SQRT1_2)])), 0.5);

/** d/dx of y = x·σ(αx): s + αy(1 - s) with s = σ(αx). */
const swish = (build: OperatorBuilder, x: Value, y: Value, alpha: number): Value => {
  const s = build.call('Sigmoid', [alpha === 1 ? x : build.scale(x, alpha)]);
  const rest = build.multiply(y, build.subtract(one(build, s), s));
  return build.add(s, alpha === 1 ? rest : build.scale(rest, alpha));
};

/** d/dx of x·Φ(x) (Hendrycks, Gimpel 2016). */
const exactGelu = (build: OperatorBuilder, x: Value): Value =>
  build.add(normalDistribution(build, x), build.multiply(x, normalDensity(build, x)));

/** The same of the tanh approximation. */
const tanhGelu = (build: OperatorBuilder, x: Value): Value => {
  const c = Math.sqrt(2 / Math.PI);
  const cubic = build.add(build.scale(x, c), build.scale(build.multiply(square(build, x), x), 0.044715 * c));
  const t = build.call('Tanh', [cubic]);
  const slope = build.add(build.scalarLike(c, x), build.scale(square(build, x), 3 * 0.044715 * c));
  const left = build.scale(build.add(one(build, x), t), 0.5);
  const right = build.multiply(
    build.scale(x, 0.5),
    build.multiply(build.subtract(one(build, x), square(build, t)), slope),
  );
  return build.add(left, right);
};

const gelu: Derivative = (build, x, _y, node) =>
  node.text('approximate') === 'tanh' ? tanhGelu(build, x) : exactGelu(build, x);

/** α on the negative side, 1 on the positive. */
const leaky = (build: OperatorBuilder, x: Value, alpha: number): Value =>
  build.call('Where', [greater(build, x, 0), one(build, x), build.scalarLike(alpha, x)]);

export const derivatives: Readonly<Record<string, Derivative>> = {
  Abs: (build, x) => build.call('Sign', [x]),
  Exp: (_build, _x, y) => y,
  Log: (build, x) => build.call('Reciprocal', [x]),
  Sqrt: (build, _x, y) => build.divide(build.scalarLike(0.5, y), y),
  Reciprocal: (build, _x, y) => build.negate(square(build, y)),
  Sin: (build, x) => build.call('Cos', [x]),
  Cos: (build, x) => build.negate(build.call('Sin', [x])),
  Tan: (build, _x, y) => build.add(one(build, y), square(build, y)),
  Asin: (build, x) => build.call('Reciprocal', [build.call('Sqrt', [build.subtract(one(build, x), square(build, x))])]),
  Acos: (build, x) =>
    build.negate(build.call('Reciprocal', [build.call('Sqrt', [build.subtract(one(build, x), square(build, x))])])),
  Atan: (build, x) => build.call('Reciprocal', [build.add(one(build, x), square(build, x))]),
  Sinh: (build, x) => build.call('Cosh', [x]),
  Cosh: (build, x) => build.call('Sinh', [x]),
  Tanh: (build, _x, y) => build.subtract(one(build, y), square(build, y)),
  Asinh: (build, x) => build.call('Reciprocal', [build.call('Sqrt', [build.add(square(build, x), one(build, x))])]),
  Acosh: (build, x) =>
    build.call('Reciprocal', [build.call('Sqrt', [build.subtract(square(build, x), one(build, x))])]),
  Atanh: (build, x) => build.call('Reciprocal', [build.subtract(one(build, x), square(build, x))]),
  Erf: (build, x) => build.scale(build.call('Exp', [build.negate(square(build, x))]), 2 / Math.sqrt(Math.PI)),
  Sigmoid: (build, _x, y) => logistic(build, y),
  Softplus: (build, x) => build.call('Sigmoid', [x]),
  Softsign: (build, x) => build.call('Reciprocal', [square(build, build.add(one(build, x), build.call('Abs', [x])))]),
  Relu: (build, x) => indicator(build, greater(build, x, 0), x),
  LeakyRelu: (build, x, _y, node) => leaky(build, x, node.float('alpha', 0.01)),
  ThresholdedRelu: (build, x, _y, node) => indicator(build, greater(build, x, node.float('alpha', 1)), x),
  Elu: (build, x, y, node) => {
    const alpha = node.float('alpha', 1);
    return build.call('Where', [greater(build, x, 0), one(build, x), build.add(y, build.scalarLike(alpha, y))]);
  },
  Celu: (build, x, _y, node) => {
    const alpha = node.float('alpha', 1);
    return build.call('Exp', [build.call('Min', [build.scalarLike(0, x), build.scale(x, 1 / alpha)])]);
  },
  Selu: (build, x, y, node) => {
    const alpha = node.float('alpha', 1.6732632423543772);
    const gamma = node.float('gamma', 1.0507009873554805);
    return build.call('Where', [
      greater(build, x, 0),
      build.scalarLike(gamma, x),
      build.add(y, build.scalarLike(alpha * gamma, y)),
    ]);
  },
  HardSigmoid: (build, x, y, node) => {
    const inside = build.call('And', [greater(build, y, 0), build.call('Less', [y, one(build, y)])]);
    return build.scale(indicator(build, inside, x), node.float('alpha', 0.2));
  },
  HardSwish: (build, x) => {
    const ramp = build.add(build.scale(x, 1 / 3), build.scalarLike(0.5, x));
    const above = build.call('Where', [greater(build, x, 3), one(build, x), ramp]);
    return build.call('Where', [greater(build, x, -3), above, build.scalarLike(0, x)]);
  },
  Swish: (build, x, y, node) => swish(build, x, y, node.float('alpha', 1)),
  Mish: (build, x) => {
    const t = build.call('Tanh', [build.call('Softplus', [x])]);
    const s = build.call('Sigmoid', [x]);
    return build.add(t, build.multiply(build.multiply(x, s), build.subtract(one(build, t), square(build, t))));
  },
  Shrink: (build, x, _y, node) => {
    const size = build.call('Abs', [x]);
    return indicator(build, greater(build, size, node.float('lambd', 0.5)), x);
  },
  Gelu: gelu,
  Neg: (build, x) => build.scalarLike(-1, x),
};

/** com.microsoft activations: the same functions under other names. */
export const microsoftDerivatives: Readonly<Record<string, Derivative>> = {
  Gelu: exactGelu,
  FastGelu: tanhGelu,
  QuickGelu: (build, x, y, node) => swish(build, x, y, node.float('alpha', 1.702)),
};
