import { textAttribute, type Value } from '../../ir/graph.ts';
import type { GraphBuilder } from '../builder.ts';

/** x · Φ(x) (Hendrycks, Gimpel 2016). */
const gelu = (b: GraphBuilder, x: Value): Value => {
  if (b.options.opset >= 20) return b.op('Gelu', [x]);
  const error = b.op('Erf', [b.op('Div', [x, b.float(Math.SQRT2)])]);
  return b.multiply(b.multiply(x, b.add(error, b.float(1))), b.float(0.5));
};

/** The approximation of x · Φ(x) by tanh. */
const tanhGelu = (b: GraphBuilder, x: Value): Value => {
  if (b.options.opset >= 20) return b.op('Gelu', [x], { attributes: { approximate: textAttribute('tanh') } });
  const cube = b.multiply(b.multiply(x, b.multiply(x, x)), b.float(0.044715));
  const curve = b.op('Tanh', [b.multiply(b.add(x, cube), b.float(Math.sqrt(2 / Math.PI)))]);
  return b.multiply(b.multiply(x, b.add(curve, b.float(1))), b.float(0.5));
};

const activations = {
  silu: (b, x) => b.multiply(x, b.op('Sigmoid', [x])),
  swish: (b, x) => b.multiply(x, b.op('Sigmoid', [x])),
  gelu,
  gelu_new: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  gelu_fast: tanhGelu,
  quick_gelu: (b, x) => b.multiply(x, b.op('Sigmoid', [b.multiply(x, b.float(1.702))])),
  relu: (b, x) => b.op('Relu', [x]),
  relu2: (b, x) => {
    const positive = b.op('Relu', [x]);
    return b.multiply(positive, positive);
  },
  tanh: (b, x) => b.op('Tanh', [x]),
  sigmoid: (b, x) => b.op('Sigmoid', [x]),
} as const satisfies Record<string, (b: GraphBuilder, x: Value) => Value>;

/** Names of activation functions as configurations give them. */
export type Activation = keyof typeof activations;

export const activationNames = Object.keys(activations) as [Activation, ...Activation[]];

export const activate = (b: GraphBuilder, x: Value, activation: Activation): Value => activations[activation](b, x);
