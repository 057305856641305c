import { CompressError } from '../../../../../errors.ts';
import type { DataType } from '../../../../../ir/data-type.ts';
import { insertNode } from '../../../../../ir/edit/replace.ts';
import { type Graph, type Node, tensorAttribute, type Value } from '../../../../../ir/graph.ts';
import { intTensor } from '../../../../../ir/read.ts';
import type { Shape, ValueType } from '../../../../../ir/shape.ts';
import type { Tensor } from '../../../../../ir/tensor.ts';

/** Where a rewritten node stands. */
export interface Place {
  readonly graph: Graph;
  /** Free names of the program part around the graph. */
  readonly fresh: (base: string) => string;
  /** Function bodies have no initializers: constants become nodes there. */
  readonly constants: 'initializers' | 'nodes';
  /** The version that the upgrade ends at. */
  readonly target: number;
  /** What is known of a value's type: as inferred before the upgrade, else as the file states it. */
  readonly typeOf: (value: Value) => ValueType | undefined;
}

/** One change of meaning or signature between two operator sets, applied to one node in place. */
export type Rule = (node: Node, place: Place) => void;

/** What messages call a node. */
export const nodeLabel = (node: Node): string => node.name || (node.outputs[0]?.name ?? node.op);

/** @throws CompressError 'unsupported' that names the node and says why it cannot be upgraded. */
export const refuse = (node: Node, why: string): never => {
  throw new CompressError({
    code: 'unsupported',
    message: `${node.op} cannot be moved to a newer operator set: ${why}`,
    where: { node: nodeLabel(node) },
    hint: 'Export the model with a newer opset, or choose a format that keeps the model’s own operator set (onnx-matmulnbits).',
  });
};

/** A constant that a rewritten node reads. */
export const constantFor = (node: Node, place: Place, purpose: string, tensor: Tensor): Value => {
  const name = place.fresh(`${nodeLabel(node)}_${purpose}`);
  if (place.constants === 'initializers') return place.graph.addInitializer(name, tensor);
  const constant = insertNode(
    { op: 'Constant', inputs: [], outputs: [name], attributes: { value: tensorAttribute(tensor) } },
    { graph: place.graph, before: node },
  );
  return constant.outputs[0]!;
};

/** Takes an attribute off a node. In a function body an attribute may be a reference to the caller's, which no input can be. */
const takeAttribute = (node: Node, name: string): ReturnType<Node['attributes']['get']> => {
  const attribute = node.attributes.get(name);
  if (attribute?.kind === 'reference') refuse(node, `its attribute ${name} is a parameter of a function`);
  node.attributes.delete(name);
  return attribute;
};

/** Moves an `ints` attribute to an int64 vector input; leaves the node alone when it has no such attribute. */
export const intsToInput =
  (attribute: string, index: number): Rule =>
  (node, place) => {
    const found = takeAttribute(node, attribute);
    if (found?.kind !== 'ints') return;
    node.setInput(index, constantFor(node, place, attribute, intTensor([found.value.length], found.value)));
  };

/** Reads and removes a `float` attribute. */
export const takeFloat = (node: Node, name: string): number | undefined => {
  const found = takeAttribute(node, name);
  return found?.kind === 'float' ? found.value : undefined;
};

/** Reads and removes an `int` attribute. */
export const takeInt = (node: Node, name: string): number | undefined => {
  const found = takeAttribute(node, name);
  return found?.kind === 'int' ? found.value : undefined;
};

/** Reads and removes a `floats` attribute. */
export const takeFloats = (node: Node, name: string): readonly number[] | undefined => {
  const found = takeAttribute(node, name);
  return found?.kind === 'floats' ? found.value : undefined;
};

/** Shape of a value as far as it is known. */
export const shapeOf = (value: Value | undefined, place: Place): Shape | undefined => {
  if (value?.tensor) return value.tensor.shape;
  const type = value && place.typeOf(value);
  return type?.kind === 'tensor' ? type.shape : undefined;
};

/** Element type of a node's input; refuses when nothing tells it. */
export const elementTypeOf = (node: Node, index: number, place: Place): DataType => {
  const value = node.inputs[index];
  const type = value && place.typeOf(value);
  const found = value?.tensor?.dtype ?? (type?.kind === 'tensor' ? type.dtype : undefined);
  return found ?? refuse(node, `the element type of its input ${value?.name ?? index} is not known`);
};
