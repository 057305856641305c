import type { NumericArray } from '../calibration/dataset.ts';
import { floatsOfArray } from '../execution/arrays.ts';
import { isFloat } from '../ir/data-type.ts';
import type { Graph, Program, Value } from '../ir/graph.ts';
import { elementCount } from '../ir/shape.ts';

/** What the numbers of an output mean: scores before a softmax, probabilities, their logarithms, or a single chance. */
export type OutputKind = 'scores' | 'probabilities' | 'log-probabilities' | 'chance';

/** The output that metrics look at. */
export interface PrimaryOutput {
  readonly name: string;
  readonly kind: OutputKind;
}

/** Operators that rearrange or average numbers without changing what they mean. */
const transparent = new Set([
  'Identity',
  'Reshape',
  'Squeeze',
  'Unsqueeze',
  'Flatten',
  'Transpose',
  'Cast',
  'ReduceMean',
  'GlobalAveragePool',
  'Slice',
  'Gather',
  'DequantizeLinear',
  'QuantizeLinear',
]);

/** The operator that gave the numbers of a value their meaning, looking through rearrangements and branches. */
const sourceOperator = (value: Value | undefined): string | undefined => {
  const node = value?.producer;
  if (!value || !node) return undefined;
  if (transparent.has(node.op)) return sourceOperator(node.inputs[0]);
  if (node.op === 'If') {
    const branch: Graph | undefined = node.subgraphs()[0];
    return sourceOperator(branch?.outputs[node.outputs.indexOf(value)]);
  }
  return node.op;
};

/** What the numbers of an output mean, by the operator that they come from. */
export const outputKind = (value: Value): OutputKind => {
  const operator = sourceOperator(value);
  if (operator === 'Softmax') return 'probabilities';
  if (operator === 'LogSoftmax') return 'log-probabilities';
  return operator === 'Sigmoid' ? 'chance' : 'scores';
};

const isFloatOutput = (value: Value): boolean =>
  value.type?.kind !== 'tensor' || value.type.dtype === undefined || isFloat(value.type.dtype);

/** `logits` where a program has it, else its first floating-point output; undefined when it has none. */
export const primaryOutput = (program: Program): PrimaryOutput | undefined => {
  const { outputs } = program.graph;
  const found = outputs.find((value) => value.name === 'logits') ?? outputs.find(isFloatOutput);
  return found && { name: found.name, kind: outputKind(found) };
};

/** Rows of numbers (rows, width). */
export interface Rows {
  readonly data: Float32Array;
  readonly rows: number;
  readonly width: number;
}

/** An output as rows over its last axis; trailing axes of size one (class scores of a convolution) are dropped. */
export const rowsOf = (array: NumericArray): Rows => {
  const shape = [...array.shape];
  while (shape.length > 2 && shape.at(-1) === 1) shape.pop();
  const width = shape.at(-1) ?? 1;
  return { data: floatsOfArray(array), rows: width === 0 ? 0 : elementCount(shape) / width, width };
};

/** Numbers whose softmax are the output's probabilities. Probabilities of zero count as the smallest float. */
export const toLogits = (data: Float32Array, kind: OutputKind): Float32Array =>
  kind === 'probabilities' ? data.map((value) => Math.log(Math.max(value, 1.2e-38))) : data;
