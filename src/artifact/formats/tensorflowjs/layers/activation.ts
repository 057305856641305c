import type { OperatorBuilder } from '../../../../ir/build.ts';
import { floatAttribute, intAttribute, type Value } from '../../../../ir/graph.ts';
import { asStored } from '../arrangement.ts';
import { type LayerBuilder, type LayerScope, optionsOf, refuse } from '../layer-scope.ts';

type Activation = (build: OperatorBuilder, x: Value) => Value;

const call =
  (op: string): Activation =>
  (build, x) =>
    build.call(op, [x]);

const softmax: Activation = (build, x) => build.call('Softmax', [x], { axis: intAttribute(-1) });

/** The tanh approximation and the exact form of x·Φ(x). */
const gelu =
  (approximate: 'tanh' | 'none'): Activation =>
  (build, x) =>
    build.call('Gelu', [x], { approximate: { kind: 'string', value: new TextEncoder().encode(approximate) } });

/** Activation functions by the names that configurations give them. */
const activations: Readonly<Record<string, Activation>> = {
  linear: (_build, x) => x,
  relu: call('Relu'),
  relu6: (build, x) => build.call('Clip', [x, build.scalarLike(0, x), build.scalarLike(6, x)]),
  elu: call('Elu'),
  selu: call('Selu'),
  sigmoid: call('Sigmoid'),
  hard_sigmoid: call('HardSigmoid'),
  softplus: call('Softplus'),
  softsign: call('Softsign'),
  tanh: call('Tanh'),
  softmax,
  log_softmax: (build, x) => build.call('LogSoftmax', [x], { axis: intAttribute(-1) }),
  swish: (build, x) => build.multiply(x, build.call('Sigmoid', [x])),
  mish: call('Mish'),
  gelu: gelu('none'),
  gelu_new: gelu('tanh'),
};

/** Names as tf.js writes them (hardSigmoid) and as Keras does (hard_sigmoid, silu). */
const canonical = (name: string): string => {
  const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return snake === 'silu' ? 'swish' : snake;
};

/** The activation that a configuration names. */
export const activationNamed = (
  scope: LayerScope,
  key: string,
  fallback: string,
): { name: string; apply: Activation } => {
  const name = canonical(optionsOf(scope).text(key, fallback));
  const apply = activations[name];
  if (apply) return { name, apply };
  return refuse(scope, `uses the activation ${name}`, `Known are: ${Object.keys(activations).join(', ')}.`);
};

/** x under the layer's `activation`. */
export const activated = (scope: LayerScope, x: Value): Value =>
  activationNamed(scope, 'activation', 'linear').apply(scope.build, x);

const unary =
  (make: (scope: LayerScope, x: Value) => Value): LayerBuilder =>
  (scope) =>
    make(scope, scope.inputs[0]!);

export const activationLayer: LayerBuilder = unary(activated);

export const reluLayer: LayerBuilder = unary((scope, x) => {
  const { build } = scope;
  const slope = optionsOf(scope).number('negative_slope', 0);
  const most = scope.layer.config.max_value;
  if (slope !== 0) return refuse(scope, 'has a negative slope', 'Use LeakyReLU.');
  return typeof most === 'number'
    ? build.call('Clip', [x, build.scalarLike(0, x), build.scalarLike(most, x)])
    : build.call('Relu', [x]);
});

export const leakyReluLayer: LayerBuilder = unary((scope, x) => {
  const options = optionsOf(scope);
  const slope = options.number('alpha', options.number('negative_slope', 0.3));
  return scope.build.call('LeakyRelu', [x], { alpha: floatAttribute(slope) });
});

export const eluLayer: LayerBuilder = unary((scope, x) =>
  scope.build.call('Elu', [x], { alpha: floatAttribute(optionsOf(scope).number('alpha', 1)) }),
);

/** Slopes a channel, or shared along axes of length 1. */
export const parametricReluLayer: LayerBuilder = unary((scope, x) =>
  scope.build.call('PRelu', [x, scope.weight('alpha', asStored)]),
);

/** 0 up to theta, x beyond. */
export const thresholdedReluLayer: LayerBuilder = unary((scope, x) =>
  scope.build.call('ThresholdedRelu', [x], { alpha: floatAttribute(optionsOf(scope).number('theta', 1)) }),
);

export const softmaxLayer: LayerBuilder = unary((scope, x) =>
  scope.build.call('Softmax', [x], { axis: intAttribute(optionsOf(scope).number('axis', -1)) }),
);

/** Layers that only do something in training. */
export const passThrough: LayerBuilder = ({ inputs }) => inputs[0]!;

/** x·scale + offset */
export const rescalingLayer: LayerBuilder = unary((scope, x) => {
  const { build } = scope;
  const options = optionsOf(scope);
  const scaled = build.scale(x, options.number('scale', 1));
  return build.add(scaled, build.scalarLike(options.number('offset', 0), x));
});
