import type { Graph, Node, Program, Value } from './graph.ts';
import type { Tensor } from './tensor.ts';

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

/** The constant that a value holds: an initializer, or the output of a Constant node with a tensor attribute. */
export const constantOf = (value: Value | undefined): Tensor | undefined => {
  if (!value) return undefined;
  if (value.tensor) return value.tensor;
  const producer = value.producer;
  if (producer?.op !== 'Constant' || producer.domain !== '') return undefined;
  const attribute = producer.attributes.get('value');
  return attribute?.kind === 'tensor' ? attribute.value : undefined;
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
