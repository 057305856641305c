import type { Node, Value } from '../../../../ir/graph.ts';
import { readNumbers } from '../../../../ir/read.ts';
import { constantOf } from '../../../../ir/walk.ts';

/**
 * How an operator stands to quantized values.
 * 'arithmetic': integer kernels exist; inputs and output each have a grid of their own.
 * 'passing': outputs hold values of the inputs (or zeros), so both sides share one grid.
 */
export interface IntegerOperator {
  readonly behaviour: 'arithmetic' | 'passing';
  /** Inputs that carry quantized values: the first, or all of them. */
  readonly data: 'first' | 'all';
  /** Whether this node qualifies; default: every one does. */
  readonly admits?: (node: Node) => boolean;
}

const arithmetic: IntegerOperator = { behaviour: 'arithmetic', data: 'first' };
const arithmeticOfAll: IntegerOperator = { behaviour: 'arithmetic', data: 'all' };
const passing: IntegerOperator = { behaviour: 'passing', data: 'first' };

/** True when padding repeats values of the input or is zero. */
const padsWithinRange = (node: Node): boolean => {
  const mode = node.text('mode') ?? 'constant';
  if (mode !== 'constant' || node.inputs[2] === undefined) return node.float('value', 0) === 0;
  const filler = constantOf(node.inputs[2]);
  return filler !== undefined && Array.from(readNumbers(filler)).every((value) => value === 0);
};

/** Interpolation stays between its neighbours, except the cubic one. */
const interpolatesWithinRange = (node: Node): boolean =>
  node.text('mode') !== 'cubic' && node.float('extrapolation_value', 0) === 0;

/** Standard operators other than weight products that work on integers, by name. */
const integerOperators: Readonly<Record<string, IntegerOperator>> = {
  Add: arithmeticOfAll,
  Mul: arithmeticOfAll,
  AveragePool: arithmetic,
  GlobalAveragePool: arithmetic,
  LeakyRelu: arithmetic,
  Sigmoid: arithmetic,
  Relu: arithmetic,
  Clip: arithmetic,
  Concat: { behaviour: 'passing', data: 'all' },
  DepthToSpace: passing,
  Expand: passing,
  Flatten: passing,
  Gather: passing,
  Identity: passing,
  MaxPool: { behaviour: 'passing', data: 'first', admits: (node) => node.outputs[1] === undefined },
  Pad: { behaviour: 'passing', data: 'first', admits: padsWithinRange },
  Reshape: passing,
  Resize: { behaviour: 'passing', data: 'first', admits: interpolatesWithinRange },
  Slice: passing,
  SpaceToDepth: passing,
  Split: passing,
  Squeeze: passing,
  Tile: passing,
  Transpose: passing,
  Unsqueeze: passing,
};

/** What is known of a node's operator; undefined when it only works on floating-point values. */
export const integerOperatorOf = (node: Node): IntegerOperator | undefined => {
  if (node.domain !== '' || !Object.hasOwn(integerOperators, node.op)) return undefined;
  const operator = integerOperators[node.op];
  return operator && (operator.admits?.(node) ?? true) ? operator : undefined;
};

/** Indices of the inputs that carry quantized values, missing ones left out. */
export const dataInputs = (node: Node, operator: IntegerOperator): number[] =>
  (operator.data === 'all' ? [...node.inputs.keys()] : [0]).filter((index) => node.inputs[index] !== undefined);

/** Bounds of a Relu or of a Clip with constant bounds (opset 11 and later); undefined for any other node. */
export const clampBounds = (node: Node | undefined): { readonly low: number; readonly high: number } | undefined => {
  if (node?.domain !== '') return undefined;
  if (node.op === 'Relu') return { low: 0, high: Number.POSITIVE_INFINITY };
  if (node.op !== 'Clip') return undefined;
  const bound = (value: Value | undefined, absent: number): number | undefined => {
    if (!value) return absent;
    const tensor = constantOf(value);
    return tensor && readNumbers(tensor)[0];
  };
  const low = bound(node.inputs[1], node.float('min', Number.NEGATIVE_INFINITY));
  const high = bound(node.inputs[2], node.float('max', Number.POSITIVE_INFINITY));
  return low === undefined || high === undefined ? undefined : { low, high };
};
