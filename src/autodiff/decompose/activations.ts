import type { OperatorBuilder } from '../../ir/build.ts';
import { floatAttribute, type Node, type Value } from '../../ir/graph.ts';
import { type Decomposition, fixedLength, inputNeeded, refuse } from './decomposition.ts';

/** x·Φ(x) (Hendrycks, Gimpel 2016). */
export const exactGelu = (build: OperatorBuilder, x: Value): Value => {
  const twice = build.add(build.scalarLike(1, x), build.call('Erf', [build.scale(x, Math.SQRT1_2)]));
  return build.multiply(build.scale(x, 0.5), twice);
};

/** The tanh approximation of it. */
const tanhGelu = (build: OperatorBuilder, x: Value): Value => {
  const c = Math.sqrt(2 / Math.PI);
  const cube = build.multiply(build.multiply(x, x), x);
  const inner = build.add(build.scale(x, c), build.scale(cube, 0.044715 * c));
  return build.multiply(build.scale(x, 0.5), build.add(build.scalarLike(1, x), build.call('Tanh', [inner])));
};

/** com.microsoft BiasGelu, and FastGelu with a bias. */
export const biasGelu: Decomposition = (node, build) => [
  exactGelu(build, build.add(inputNeeded(node, 0), inputNeeded(node, 1))),
];

export const fastGelu: Decomposition = (node, build) => {
  const [x, bias] = [inputNeeded(node, 0), node.inputs[1]];
  return [tanhGelu(build, bias ? build.add(x, bias) : x)];
};

/** com.microsoft BiasSplitGelu: one half of the channels gates the other. */
export const biasSplitGelu: Decomposition = (node, build) => {
  const x = build.add(inputNeeded(node, 0), inputNeeded(node, 1));
  const [value, gate] = build.calls('Split', [x], 2, {
    axis: { kind: 'int', value: -1 },
    num_outputs: { kind: 'int', value: 2 },
  });
  return [build.multiply(value!, exactGelu(build, gate!))];
};

/** com.microsoft BiasAdd: x + bias + skip. */
export const biasAdd: Decomposition = (node, build) => [
  build.add(build.add(inputNeeded(node, 0), inputNeeded(node, 1)), inputNeeded(node, 2)),
];

/** α·tanh(β·x), of the experimental operator set. */
export const scaledTanh: Decomposition = (node, build) => [
  build.scale(build.call('Tanh', [build.scale(inputNeeded(node, 0), node.float('beta', 1))]), node.float('alpha', 1)),
];

/** α·log(1 + exp(β·x)), of the experimental operator set. */
export const parametricSoftplus: Decomposition = (node, build) => [
  build.scale(
    build.call('Softplus', [build.scale(inputNeeded(node, 0), node.float('beta', 1))]),
    node.float('alpha', 1),
  ),
];

/** The activation that FusedConv and FusedGemm end with. */
export const fusedActivation = (node: Node, build: OperatorBuilder, x: Value): Value => {
  const name = node.text('activation');
  const parameters = node.floats('activation_params') ?? [];
  const at = (index: number, key: string, fallback: number): number =>
    parameters[index] ?? node.float(`activation_${key}`, fallback);
  switch (name) {
    case undefined:
    case '':
      return x;
    case 'Relu':
    case 'Sigmoid':
    case 'Tanh':
      return build.call(name, [x]);
    case 'LeakyRelu':
      return build.call(name, [x], { alpha: floatAttribute(at(0, 'alpha', 0.01)) });
    case 'HardSigmoid':
      return build.call(name, [x], {
        alpha: floatAttribute(at(0, 'alpha', 0.2)),
        beta: floatAttribute(at(1, 'beta', 0.5)),
      });
    case 'Clip':
      return build.call(name, [
        x,
        build.scalarLike(at(0, 'min', -3.4028234663852886e38), x),
        build.scalarLike(at(1, 'max', 3.4028234663852886e38), x),
      ]);
    default:
      return refuse(node, `ends with the activation ${name}`, 'Optimise the model at a lower level before.');
  }
};

/** x / ‖x‖ along an axis. */
export const lpNormalization: Decomposition = (node, build) => {
  const x = inputNeeded(node, 0);
  const axes = build.integers([node.int('axis', -1)]);
  return [build.divide(x, build.call(node.int('p', 2) === 1 ? 'ReduceL1' : 'ReduceL2', [x, axes]))];
};

/** Centred and divided by the standard deviation. */
export const meanVarianceNormalization: Decomposition = (node, build) => {
  const x = inputNeeded(node, 0);
  const axes = build.integers(node.ints('axes') ?? [0, 2, 3]);
  const centred = build.subtract(x, build.call('ReduceMean', [x, axes]));
  const deviation = build.call('Sqrt', [build.call('ReduceMean', [build.multiply(centred, centred), axes])]);
  return [build.divide(centred, build.add(deviation, build.scalarLike(1e-9, x)))];
};

/** |x|ᵖ */
const powered = (build: OperatorBuilder, x: Value, p: number): Value =>
  build.call('Pow', [build.call('Abs', [x]), build.scalarLike(p, x)]);

/** (Σ |x|ᵖ)^(1/p) over each channel's positions. */
export const globalLpPool: Decomposition = (node, build) => {
  const x = inputNeeded(node, 0);
  const p = node.int('p', 2);
  const channels = build.reshape(powered(build, x, p), build.integers([0, 0, -1]));
  const sums = build.sumOver(channels, [2], 'drop');
  const ones = build.call(
    'Concat',
    [
      build.call('Shape', [x], { end: { kind: 'int', value: 2 } }),
      build.call('Expand', [
        build.integers([1]),
        build.subtract(build.call('Shape', [build.call('Shape', [x])]), build.integers([2])),
      ]),
    ],
    { axis: { kind: 'int', value: 0 } },
  );
  return [build.call('Pow', [build.reshape(sums, ones), build.scalarLike(1 / p, x)])];
};

/** (Σ |x|ᵖ)^(1/p) over windows: an average pool of the powers, times the size of a window. */
export const lpPool: Decomposition = (node, build) => {
  const x = inputNeeded(node, 0);
  const p = node.int('p', 2);
  const kernel = node.ints('kernel_shape') ?? refuse(node, 'has no kernel_shape', 'Export the model again.');
  const kept = ['auto_pad', 'ceil_mode', 'kernel_shape', 'pads', 'strides'].flatMap((name) => {
    const attribute = node.attributes.get(name);
    return attribute ? [[name, attribute] as const] : [];
  });
  if (node.ints('dilations')?.some((dilation) => dilation !== 1))
    refuse(node, 'has dilations', 'Export the model without them.');
  const area = kernel.reduce((product, length) => product * length, 1);
  const mean = build.call('AveragePool', [powered(build, x, p)], {
    ...Object.fromEntries(kept),
    count_include_pad: { kind: 'int', value: 1 },
  });
  return [build.call('Pow', [build.scale(mean, area), build.scalarLike(1 / p, x)])];
};

/** NCHW pictures, each channel scaled and shifted; of the experimental operator set. */
export const imageScaler: Decomposition = (node, build) => {
  const x = inputNeeded(node, 0);
  const bias = node.floats('bias') ?? [];
  const scaled = build.scale(x, node.float('scale', 1));
  return [bias.length === 0 ? scaled : build.add(scaled, build.floats([bias.length, 1, 1], bias, 'float32'))];
};

/** α·x + β, of the experimental operator set. */
export const affine: Decomposition = (node, build) => {
  const x = inputNeeded(node, 0);
  return [build.add(build.scale(x, node.float('alpha', 1)), build.scalarLike(node.float('beta', 0), x))];
};

/** Borders cut off pictures, or a window of a given size; of the experimental operator set. */
export const crop: Decomposition = (node, build) => {
  const x = inputNeeded(node, 0);
  const [left = 0, top = 0, right = 0, bottom = 0] = node.ints('border') ?? [];
  const scale = node.ints('scale');
  const [height, width] = [fixedLength(x, 2), fixedLength(x, 3)];
  const ends = scale ? [top + scale[0]!, left + scale[1]!] : [cutEnd(height, bottom), cutEnd(width, right)];
  return [build.call('Slice', [x, build.integers([top, left]), build.integers(ends), build.integers([2, 3])])];
};

const cutEnd = (length: number | undefined, border: number): number => {
  if (length !== undefined) return length - border;
  return border === 0 ? Number.MAX_SAFE_INTEGER : -border;
};
