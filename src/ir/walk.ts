import type { Attribute, Graph, Node, Program, Value } from './graph.ts';
import { floatTensor, intTensor } from './read.ts';
import { StringTensor, type Tensor } from './tensor.ts';

/** Every graph of a program: the main graph, the bodies inside its nodes (depth first), then function bodies. */
export function* allGraphs(program: Program): Generator<Graph> {
  yield* graphsWithin(program.graph);
  for (const definition of program.functions) yield* graphsWithin(definition.body);
}

/** A graph and, depth first, the bodies inside its nodes. */
export function* graphsWithin(graph: Graph): Generator<Graph> {
  yield graph;
  for (const node of graph.nodes) for (const body of node.subgraphs()) yield* graphsWithin(body);
}

/** Every node of a graph and of the bodies inside its nodes. */
export function* nodesWithin(graph: Graph): Generator<Node> {
  for (const inner of graphsWithin(graph)) yield* inner.nodes;
}

/** Constants given by the short attributes of Constant nodes, made once. */
const shortConstants = new WeakMap<Attribute, Tensor>();

const tensorOfAttribute = (attribute: Attribute): Tensor | undefined => {
  switch (attribute.kind) {
    case 'tensor':
      return attribute.value;
    case 'int':
      return intTensor([], [attribute.value]);
    case 'ints':
      return intTensor([attribute.value.length], attribute.value);
    case 'float':
      return floatTensor([], [attribute.value]);
    case 'floats':
      return floatTensor([attribute.value.length], attribute.value);
    case 'string':
      return new StringTensor([], [attribute.value]);
    case 'strings':
      return new StringTensor([attribute.value.length], attribute.value);
    default:
      return undefined;
  }
};

const constantNames = [
  'value',
  'value_int',
  'value_ints',
  'value_float',
  'value_floats',
  'value_string',
  'value_strings',
];

/** The constant that a value holds: an initializer, or the output of a Constant node. */
export const constantOf = (value: Value | undefined): Tensor | undefined => {
  if (!value) return undefined;
  if (value.tensor) return value.tensor;
  const producer = value.producer;
  if (producer?.op !== 'Constant' || producer.domain !== '') return undefined;
  const name = constantNames.find((wanted) => producer.attributes.has(wanted));
  const attribute = name === undefined ? undefined : producer.attributes.get(name);
  const known = attribute && shortConstants.get(attribute);
  if (!attribute || known) return known;
  const tensor = tensorOfAttribute(attribute);
  if (tensor) shortConstants.set(attribute, tensor);
  return tensor;
};

/** Values that a graph reads from its enclosing graphs, each once, in order of first use. */
export const capturedValues = (graph: Graph): Value[] => {
  const own = new Set<Value>();
  const captured = new Set<Value>();
  for (const inner of graphsWithin(graph)) {
    for (const value of inner.inputs) own.add(value);
    for (const value of inner.initializers) own.add(value);
    for (const node of inner.nodes) for (const value of node.outputs) if (value) own.add(value);
  }
  for (const inner of graphsWithin(graph)) {
    for (const node of inner.nodes) for (const value of node.inputs) if (value && !own.has(value)) captured.add(value);
    for (const value of inner.outputs) if (!own.has(value)) captured.add(value);
  }
  return [...captured];
};
