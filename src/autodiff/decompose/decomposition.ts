import { CompressError } from '../../errors.ts';
import type { OperatorBuilder } from '../../ir/build.ts';
import type { Node, Value } from '../../ir/graph.ts';
import { shapeOf } from '../broadcast.ts';

/**
 * Writes the same outputs with operators that have gradient rules; new nodes stand before the node. Gives the values
 * that stand for the node's outputs, by index.
 */
export type Decomposition = (node: Node, build: OperatorBuilder) => readonly (Value | undefined)[];

/** @throws 'unsupported' naming the node. */
export const refuse = (node: Node, what: string, hint: string): never => {
  throw new CompressError({
    code: 'unsupported',
    message: `${node.op} ${what} and cannot be differentiated`,
    where: { node: node.name || (node.outputs[0]?.name ?? '') },
    hint,
  });
};

/** An input that the operator must have. */
export const inputNeeded = (node: Node, index: number): Value =>
  node.inputs[index] ?? refuse(node, `has no input ${index}`, 'The file is malformed: export the model again.');

/** The length of an input along an axis, where it is fixed. */
export const fixedLength = (value: Value | undefined, axis: number): number | undefined => {
  const length = value && shapeOf(value)?.at(axis);
  return typeof length === 'number' ? length : undefined;
};

/** The rank of an input. @throws 'unsupported' where shape inference could not tell it. */
export const rankNeeded = (node: Node, value: Value): number =>
  shapeOf(value)?.length ??
  refuse(node, `reads ${value.name}, whose rank is not known,`, 'Give the model inputs with stated shapes.');
