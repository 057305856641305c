import { OperatorBuilder } from '../../ir/build.ts';
import { replaceAllUses } from '../../ir/edit/replace.ts';
import type { Graph, Node, Value } from '../../ir/graph.ts';
import { unrollRecurrent } from './recurrent.ts';

/** Writes the same outputs with operators that have gradient rules; new nodes stand before the node. */
type Decomposition = (node: Node, build: OperatorBuilder) => readonly (Value | undefined)[];

/** Operators that are differentiated through an equal graph of simpler ones. */
const decompositions: Readonly<Record<string, Decomposition>> = {
  LSTM: unrollRecurrent,
  GRU: unrollRecurrent,
};

/**
 * Replaces composite operators of a graph by elementary ones, those that `wanted` accepts.
 * @returns how many were replaced. Types of the new values are not known: infer again.
 */
export const decomposeNodes = (graph: Graph, wanted: (node: Node) => boolean): number => {
  let count = 0;
  for (const node of [...graph.nodes]) {
    const decomposition = node.domain === '' ? decompositions[node.op] : undefined;
    if (!decomposition || !wanted(node)) continue;
    const build = new OperatorBuilder(graph, node.name || node.op, node);
    const outputs = decomposition(node, build);
    const old = [...node.outputs];
    old.forEach((output, index) => {
      const made = outputs[index];
      if (output && made) {
        build.typed(made, output.type);
        replaceAllUses(output, made, { graph });
      }
    });
    graph.remove(node);
    count++;
  }
  return count;
};
