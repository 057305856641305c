import type { Graph, Program, Value } from '../graph.ts';
import { capturedValues, graphsWithin } from '../walk.ts';
import { nameSource } from './names.ts';

/** Floating-point constants with one axis that is longer than 1. */
const isVector = ({ tensor }: Value): boolean =>
  tensor !== undefined &&
  (tensor.dtype === 'float32' ||
    tensor.dtype === 'float16' ||
    tensor.dtype === 'bfloat16' ||
    tensor.dtype === 'float64') &&
  tensor.shape.filter((size) => size > 1).length === 1;

/**
 * Gives every node that reads a bias or a gain a constant of its own. Exporters let nodes read one constant where
 * several are equal (biases of zeros, gains of ones), which would tie what has nothing to do with each other. Constants
 * that bodies of branches and loops read, and inputs and outputs, stay.
 * @returns the number of constants added.
 */
export const unshareVectors = (program: Program): number => {
  let added = 0;
  for (const graph of graphsWithin(program.graph)) added += unshareWithin(graph);
  return added;
};

const unshareWithin = (graph: Graph): number => {
  const kept = new Set<Value>([...graph.inputs, ...graph.outputs]);
  for (const node of graph.nodes)
    for (const body of node.subgraphs()) for (const value of capturedValues(body)) kept.add(value);
  const names = nameSource(graph);
  let added = 0;
  for (const value of [...graph.initializers]) {
    if (kept.has(value) || !isVector(value)) continue;
    const users = new Set(value.uses.map(({ node }) => node));
    for (const user of [...users].slice(1)) {
      const own = graph.addInitializer(names.fresh(value.name), value.tensor!);
      for (const { node, index } of [...value.uses]) if (node === user) node.setInput(index, own);
      added++;
    }
  }
  return added;
};
