import type { Graph, Program, Value } from '../graph.ts';
import { capturedValues } from '../walk.ts';

export interface RemovedCounts {
  readonly nodes: number;
  readonly initializers: number;
}

/**
 * Removes, in a graph and the bodies inside it, every node from which no output of its graph can be reached, and
 * every initializer that nothing reads (initializers that are graph inputs too stay: they are part of the interface).
 */
export const removeDead = (target: Graph | Program): RemovedCounts => {
  const graphs =
    'graph' in target ? [target.graph, ...target.functions.map((definition) => definition.body)] : [target];
  const counts = { nodes: 0, initializers: 0 };
  for (const graph of graphs) sweep(graph, counts);
  return counts;
};

const sweep = (graph: Graph, counts: { nodes: number; initializers: number }): void => {
  const live = new Set<Value>(graph.outputs);
  const dead = [];
  for (let index = graph.nodes.length - 1; index >= 0; index--) {
    const node = graph.nodes[index]!;
    if (!node.outputs.some((value) => value && live.has(value))) {
      dead.push(node);
      continue;
    }
    for (const value of node.inputs) if (value) live.add(value);
    for (const body of node.subgraphs()) {
      sweep(body, counts);
      for (const value of capturedValues(body)) live.add(value);
    }
  }
  if (dead.length > 0) graph.remove(...dead);
  counts.nodes += dead.length;
  const inputs = new Set(graph.inputs);
  for (const value of graph.initializers)
    if (!live.has(value) && !inputs.has(value)) {
      graph.initializers.delete(value);
      counts.initializers++;
    }
};
