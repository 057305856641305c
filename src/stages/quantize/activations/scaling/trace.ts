import type { Node, Value } from '../../../../ir/graph.ts';
import { PackedTensor } from '../../../../ir/packed-tensor.ts';
import { elementCount, type Shape } from '../../../../ir/shape.ts';
import { constantOf } from '../../../../ir/walk.ts';
import { collapse, ofRank, type Pattern, patternAlong, type Tie, unscaled } from './pattern.ts';
import { scalingRules } from './rules.ts';
import { type ScaledConstant, type Traced, together } from './step.ts';

/** Constants that several nodes read are copied for the one that is scaled, up to this many elements. */
const largestCopy = 1 << 14;

const shapeOf = (value: Value | undefined): Shape | undefined => {
  const tensor = constantOf(value);
  if (tensor) return tensor.shape;
  return value?.type?.kind === 'tensor' ? value.type.shape : undefined;
};

/** A constant can be scaled when it is float32, not packed, and not a large table that others read too. */
const scaleConstant = (node: Node, index: number, pattern: Pattern): Traced | undefined => {
  const value = node.inputs[index];
  const tensor = constantOf(value);
  if (!value || !tensor || tensor.dtype !== 'float32' || tensor instanceof PackedTensor) return undefined;
  if (value.uses.length > 1 && elementCount(tensor.shape.filter((dim) => typeof dim === 'number')) > largestCopy)
    return undefined;
  return { constants: [{ node, index, pattern }], ties: [] };
};

const follow = (value: Value, pattern: Pattern, outputs: ReadonlySet<Value>): Traced | undefined => {
  const node = value.producer;
  if (!node || outputs.has(value)) return undefined;
  const rule = scalingRules.get(`${node.domain}:${node.op}`);
  if (!rule) return undefined;
  const scale = (index: number, wanted: Pattern | undefined): Traced | undefined => {
    const input = node.inputs[index];
    if (!input || !wanted) return undefined;
    if (constantOf(input)) return scaleConstant(node, index, wanted);
    return input.uses.length === 1 && input.producer?.graph === node.graph ? follow(input, wanted, outputs) : undefined;
  };
  return rule({
    node,
    pattern,
    output: node.outputs.indexOf(value),
    shape: shapeOf,
    isConstant: (index) => constantOf(node.inputs[index]) !== undefined,
    scale,
    scaleBroadcast: (index) => {
      const shape = shapeOf(node.inputs[index]);
      const own = shape && ofRank(pattern, Math.max(shape.length, pattern.shape.length));
      if (!shape || !own) return undefined;
      if (constantOf(node.inputs[index])) return scale(index, own);
      const offset = own.shape.length - shape.length;
      const single = own.shape.map((_, axis) => axis).filter((axis) => axis < offset || shape[axis - offset] === 1);
      const { pattern: collapsed, ties } = collapse(own, single);
      const known = collapsed.shape.every((size, axis) => size === 1 || shape[axis - offset] === size);
      return known ? together(scale(index, ofRank(collapsed, shape.length)), { constants: [], ties }) : undefined;
    },
  });
};

/** How the channels of a value can be scaled by changing constants before it. */
export interface Folding {
  readonly constants: readonly ScaledConstant[];
  /** (channels): channels of one class have one factor in common; class `unscaled` has the factor one. */
  readonly classes: Int32Array;
}

/** The least member of each channel's class. */
const classesOf = (channels: number, ties: readonly Tie[]): Int32Array => {
  const parents = Int32Array.from({ length: channels + 1 }, (_, id) => id);
  const find = (id: number): number => {
    let root = id;
    while (parents[root] !== root) root = parents[root]!;
    return root;
  };
  for (const [a, b] of ties) {
    const [first, second] = [find(a), find(b)].sort((x, y) => x - y);
    parents[second!] = first!;
  }
  return Int32Array.from({ length: channels }, (_, channel) => find(channel + 1));
};

/**
 * Finds the constants (gains of norms, rows of weights, biases) that, multiplied by factors, make the channels of a value
 * come out multiplied by them, with everything else as it was. The program is not changed.
 * @param axis of the channels.
 * @param outputs values that the graph and its bodies hand out, which must stay as they are.
 * @returns undefined when an operator on the way does not hand factors on, or when something else reads what it makes.
 */
export const traceScaling = (value: Value, axis: number, outputs: ReadonlySet<Value>): Folding | undefined => {
  const shape = shapeOf(value);
  const at = shape && (axis < 0 ? axis + shape.length : axis);
  const channels = at === undefined ? undefined : shape?.[at];
  if (!shape || at === undefined || typeof channels !== 'number') return undefined;
  const ids = Int32Array.from({ length: channels }, (_, channel) => channel + 1);
  const traced = follow(value, patternAlong(shape.length, at, ids), outputs);
  if (!traced) return undefined;
  const classes = classesOf(channels, traced.ties);
  return classes.every((id) => id === unscaled) ? undefined : { constants: traced.constants, classes };
};
