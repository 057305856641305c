import { CompressError, internalError } from '../../errors.ts';
import { type Graph, Node, tensorAttribute, Value } from '../graph.ts';
import { tensorType } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { graphsWithin } from '../walk.ts';
import { freshName } from './names.ts';

export interface ReplaceOptions {
  /** The graph in which `from` is visible: its outputs, and those of the bodies inside it, are replaced too. */
  readonly graph: Graph;
  /** Nodes that go on reading `from` (those inserted to compute `to` from it). */
  readonly except?: readonly Node[];
}

/**
 * Makes everything that reads `from` read `to`: node inputs, bodies of control flow, graph outputs. The graph's outputs
 * keep their names: `to` takes over the name of an output; where it cannot (an input, an initializer, an output
 * already, a value of another graph) an Identity node gives the name. `from` then has another, free name.
 */
export const replaceAllUses = (from: Value, to: Value, options: ReplaceOptions): void => {
  if (from === to) return;
  const except = new Set(options.except);
  for (const { node, index } of from.uses) if (!except.has(node)) node.setInput(index, to);
  for (const inner of graphsWithin(options.graph)) replaceOutput(inner, from, to);
};

const replaceOutput = (graph: Graph, from: Value, to: Value): void => {
  const index = graph.outputs.indexOf(from);
  if (index < 0) return;
  const name = from.name;
  from.name = freshName(graph, name);
  const producer = to.producer;
  const canRename = producer?.graph === graph && !graph.outputs.includes(to) && from.producer?.graph === graph;
  let output = to;
  if (canRename) to.name = name;
  else {
    output = new Value(name, to.type ?? from.type);
    graph.insert(new Node({ op: 'Identity', inputs: [to], outputs: [output] }));
  }
  graph.outputs.forEach((value, at) => {
    if (value === from) graph.outputs[at] = output;
  });
};

/** Replaces the constant that an initializer or a Constant node holds. @throws internal error for other values. */
export const setConstant = (value: Value, tensor: Tensor): void => {
  const producer = value.producer;
  if (value.tensor) value.tensor = tensor;
  else if (producer?.op === 'Constant' && producer.domain === '') {
    for (const name of [...producer.attributes.keys()]) producer.attributes.delete(name);
    producer.setAttribute('value', tensorAttribute(tensor));
  } else throw internalError(`value ${value.name} is no constant`);
  value.type = tensorType(tensor.dtype, tensor.shape);
};

/** Fields of a node to insert: its outputs are new values with free names. */
export interface InsertFields {
  readonly op: string;
  readonly domain?: string;
  readonly inputs: readonly (Value | undefined)[];
  readonly attributes?: ConstructorParameters<typeof Node>[0]['attributes'];
  /** Node name; made free. Default: none. */
  readonly name?: string;
  /** Wished names of the outputs; made free. */
  readonly outputs: readonly string[];
}

export interface InsertPlace {
  readonly graph: Graph;
  /** Stand before this node, or … */
  readonly before?: Node;
  /** … right after this one; at the end of the graph when neither is given. */
  readonly after?: Node;
}

/** Makes a node with free names and puts it at a place. */
export const insertNode = (fields: InsertFields, place: InsertPlace): Node => {
  const { graph } = place;
  const node = new Node({
    op: fields.op,
    domain: fields.domain ?? '',
    name: fields.name === undefined ? '' : freshName(graph, fields.name),
    inputs: fields.inputs,
    outputs: fields.outputs.map((name) => new Value(freshName(graph, name))),
    ...(fields.attributes ? { attributes: fields.attributes } : {}),
  });
  if (place.after) return graph.insertAfter(node, place.after);
  return graph.insert(node, place.before);
};

/** The node's output at `index`. @throws internal error when it has none. */
export const outputOf = (node: Node, index = 0): Value => {
  const value = node.outputs[index];
  if (!value) throw internalError(`node ${node.name || node.op} has no output ${index}`);
  return value;
};

/** The node's input at `index`. @throws 'malformed' when it is missing. */
export const inputOf = (node: Node, index: number): Value => {
  const value = node.inputs[index];
  if (value) return value;
  throw new CompressError({
    code: 'malformed',
    message: `${node.op} has no input ${index}`,
    where: { node: node.name || (node.outputs[0]?.name ?? node.op) },
  });
};
