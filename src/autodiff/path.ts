import { CompressError, CompressErrors } from '../errors.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import { isConstantNode, ruleOf } from './rules/table.ts';

/** Values whose small changes follow from small changes of `sources`: the sources and everything computed from them. */
export const valuesBehind = (graph: Graph, sources: Iterable<Value>): Set<Value> => {
  const found = new Set<Value>(sources);
  for (const node of graph.nodes) {
    if (isConstantNode(node)) continue;
    if (!node.inputs.some((input) => input && found.has(input)) && !capturesAny(node, found)) continue;
    for (const output of node.outputs) if (output) found.add(output);
  }
  return found;
};

/** Nodes of the graph on a differentiable way from one of `sources` to one of `targets`, in execution order. */
export const nodesBetween = (graph: Graph, sources: Iterable<Value>, targets: Iterable<Value>): Node[] => {
  const forward = valuesBehind(graph, sources);
  const backward = new Set<Value>(targets);
  const path: Node[] = [];
  for (let index = graph.nodes.length - 1; index >= 0; index--) {
    const node = graph.nodes[index]!;
    if (isConstantNode(node)) continue;
    if (!node.outputs.some((output) => output && backward.has(output))) continue;
    if (!node.inputs.some((input) => input && forward.has(input)) && !capturesAny(node, forward)) continue;
    path.push(node);
    for (const input of node.inputs) if (input) backward.add(input);
  }
  return path.reverse();
};

/** Whether a body inside a control-flow node reads one of these values. */
const capturesAny = (node: Node, values: ReadonlySet<Value>): boolean =>
  node
    .subgraphs()
    .some((body) =>
      body.nodes.some(
        (inner) => inner.inputs.some((input) => input && values.has(input)) || capturesAny(inner, values),
      ),
    );

/** @throws CompressErrors listing every operator among `path` that has no gradient rule, each once. */
export const checkRules = (path: readonly Node[]): void => {
  const missing = new Map<string, Node>();
  for (const node of path) {
    const name = node.domain ? `${node.domain}.${node.op}` : node.op;
    if (!ruleOf(node) && !missing.has(name)) missing.set(name, node);
  }
  if (missing.size === 0) return;
  throw new CompressErrors(
    [...missing].map(
      ([name, node]) =>
        new CompressError({
          code: 'unsupported',
          message: `operator ${name} has no gradient rule`,
          where: { node: node.name || node.outputs[0]?.name || '' },
          hint:
            node.subgraphs().length > 0
              ? 'Control flow cannot be differentiated: fix the input that decides it to a constant, so that the branch can be inlined.'
              : 'Differentiate a part of the graph that does not contain it, or keep the values before it constant.',
        }),
    ),
  );
};
