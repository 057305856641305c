import type { Graph, Value } from '../../ir/graph.ts';
import type { Site } from '../sites.ts';

/** Operators that pass on how large something is, not what it holds. */
const sizesOnly: ReadonlySet<string> = new Set(['Shape', 'Size']);

/** True when something of the inputs reaches an output without passing through the site. */
const passesBy = (graph: Graph, { node: avoided }: Site): boolean => {
  const reached = new Set<Value>(graph.inputs.filter((value) => !value.tensor));
  for (const node of graph.nodes) {
    if (node === avoided || sizesOnly.has(node.op)) continue;
    if (node.inputs.some((value) => value && reached.has(value)))
      for (const value of node.outputs) if (value) reached.add(value);
  }
  return graph.outputs.some((value) => reached.has(value));
};

/**
 * Whether each site stands in series: all that the model knows of its inputs passes through it. What stands on a branch
 * beside others (a residual, a concatenation) is passed by.
 */
export const inSeries = (graph: Graph, sites: readonly Site[]): boolean[] =>
  sites.map((site) => site.node.graph === graph && !passesBy(graph, site));
