import { constantOf } from '../../../ir/walk.ts';
import type { AxisRule, AxisRules } from '../axes.ts';

/** Operands are aligned at their last axes; those of the result's length are the same axis. */
export const broadcast: AxisRule = (node, table) => {
  for (const output of node.outputs) {
    const rank = table.shape(output)?.length;
    if (rank === undefined) continue;
    for (const input of node.inputs) {
      const own = table.shape(input)?.length;
      if (own === undefined) continue;
      for (let back = 1; back <= Math.min(rank, own); back++)
        table.same(table.at(output, -back), table.at(input, -back));
    }
  }
};

/** Terms that come from one axis (x + .04 x³ of a GELU written out) are no stream. */
const sum: AxisRule = (node, table) => {
  const activations = node.inputs.filter((value) => value && !constantOf(value));
  const [output] = node.outputs;
  const rank = table.shape(output)?.length ?? 0;
  const several: number[] = [];
  for (let back = 1; back <= rank; back++) {
    const axes = activations.map((value) => table.at(value, -back)).filter((axis) => axis !== undefined);
    if (new Set(axes).size > 1) several.push(back);
  }
  broadcast(node, table);
  for (const back of several) table.markSummed(table.at(output, -back));
};

/** Softmax and its kin: every element along the axis depends on all others. */
const softmax: AxisRule = (node, table) => {
  broadcast(node, table);
  table.block(table.at(node.inputs[0], node.int('axis', -1)), `${node.op} runs along it`);
};

/** The axis is the second input. */
const cumulative: AxisRule = (node, table) => {
  const [x, axisInput] = node.inputs;
  table.all(x).forEach((axis, index) => {
    table.same(axis, table.all(node.outputs[0])[index]);
  });
  const [axis] = table.contents(axisInput) ?? [];
  const found = typeof axis === 'number' ? [table.at(x, axis)] : table.all(x);
  for (const each of found) table.block(each, `${node.op} runs along it`);
};

const plain = [
  'Abs',
  'Acos',
  'Acosh',
  'And',
  'Asin',
  'Asinh',
  'Atan',
  'Atanh',
  'BitShift',
  'Cast',
  'CastLike',
  'Ceil',
  'Celu',
  'Clip',
  'Cos',
  'Cosh',
  'Div',
  'Dropout',
  'Elu',
  'Equal',
  'Erf',
  'Exp',
  'Floor',
  'Gelu',
  'Greater',
  'GreaterOrEqual',
  'HardSigmoid',
  'HardSwish',
  'Identity',
  'IsInf',
  'IsNaN',
  'LeakyRelu',
  'Less',
  'LessOrEqual',
  'Log',
  'Max',
  'Min',
  'Mish',
  'Mod',
  'Mul',
  'Neg',
  'Not',
  'Or',
  'PRelu',
  'Pow',
  'Reciprocal',
  'Relu',
  'Round',
  'ScaledTanh',
  'Selu',
  'Shrink',
  'Sigmoid',
  'Sign',
  'Sin',
  'Sinh',
  'Softplus',
  'Softsign',
  'Sqrt',
  'Swish',
  'Tan',
  'Tanh',
  'ThresholdedRelu',
  'Where',
  'Xor',
] as const;

export const elementwiseRules: AxisRules = {
  ...Object.fromEntries(plain.map((op) => [op, broadcast])),
  Add: sum,
  Sub: sum,
  Sum: sum,
  Mean: sum,
  Softmax: softmax,
  LogSoftmax: softmax,
  Hardmax: softmax,
  CumSum: cumulative,
  CumProd: cumulative,
};

/** Element-wise operators of onnxruntime's domain. */
export const microsoftElementwiseRules: AxisRules = {
  BiasGelu: broadcast,
  FastGelu: broadcast,
  Gelu: broadcast,
  QuickGelu: broadcast,
};
