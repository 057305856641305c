import type { Node } from '../../../ir/graph.ts';
import { graphsWithin } from '../../../ir/walk.ts';

/** Nodes that compute what a node reads, in the bodies that it holds too. */
const dependenciesOf = (node: Node): Node[] => {
  const found: Node[] = [];
  for (const value of node.inputs) if (value?.producer) found.push(value.producer);
  for (const body of node.subgraphs())
    for (const graph of graphsWithin(body)) {
      for (const inner of graph.nodes)
        for (const value of inner.inputs) if (value?.producer) found.push(value.producer);
      for (const value of graph.outputs) if (value.producer) found.push(value.producer);
    }
  return found;
};

/**
 * Nodes in an order in which every value is computed before it is read: the given order where it is already one, else
 * each node as late as its first reader allows. `cycle` is a node that depends on itself, if there is one.
 */
export const sortNodes = (
  nodes: readonly Node[],
): { readonly sorted: readonly Node[]; readonly cycle: Node | undefined } => {
  const own = new Set(nodes);
  const done = new Set<Node>();
  const open = new Set<Node>();
  for (const start of nodes) {
    const stack: { readonly node: Node; readonly waiting: Node[] }[] = [];
    const enter = (node: Node): void => {
      open.add(node);
      stack.push({ node, waiting: dependenciesOf(node).filter((dependency) => own.has(dependency)) });
    };
    if (!done.has(start)) enter(start);
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const next = top.waiting.shift();
      if (!next) {
        stack.pop();
        open.delete(top.node);
        done.add(top.node);
      } else if (open.has(next)) return { sorted: nodes, cycle: next };
      else if (!done.has(next)) enter(next);
    }
  }
  return { sorted: [...done], cycle: undefined };
};
