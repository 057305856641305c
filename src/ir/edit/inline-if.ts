import type { Graph, Node, Program, Value } from '../graph.ts';
import type { Fact } from '../inference/fact.ts';
import { inferFacts } from '../inference/infer.ts';
import { readNumbers } from '../read.ts';
import { constantOf, graphsWithin } from '../walk.ts';
import { type NameSource, nameSource } from './names.ts';
import { replaceAllUses } from './replace.ts';

/**
 * Replaces every If whose condition is known (a constant, or decided by shapes) by the nodes of the branch that runs,
 * in nested branches too. Values and nodes of the branch get free names where theirs are taken.
 * @returns the number of Ifs replaced.
 */
export const inlineIf = (program: Program): number => {
  const { facts } = inferFacts(program);
  let inlined = 0;
  for (let found = true; found; ) {
    found = false;
    for (const graph of [...graphsWithin(program.graph)])
      for (const node of [...graph.nodes]) {
        const branch = takenBranch(node, facts);
        if (!branch || node.graph !== graph) continue;
        inlineBranch(graph, node, branch);
        inlined++;
        found = true;
      }
  }
  return inlined;
};

const takenBranch = (node: Node, facts: ReadonlyMap<Value, Fact>): Graph | undefined => {
  const condition = node.inputs[0];
  if (node.op !== 'If' || node.domain !== '' || !condition) return undefined;
  const constant = constantOf(condition);
  const known = constant ? readNumbers(constant)[0] : facts.get(condition)?.contents?.[0];
  if (typeof known !== 'number') return undefined;
  const attribute = node.attributes.get(known === 0 ? 'else_branch' : 'then_branch');
  return attribute?.kind === 'graph' ? attribute.value : undefined;
};

const inlineBranch = (graph: Graph, node: Node, branch: Graph): void => {
  const names = nameSource(graph);
  const taken = visibleNames(graph, node);
  const nodes = [...branch.nodes];
  for (const value of branch.initializers) {
    rename(value, taken, names);
    graph.initializers.add(value);
  }
  for (const inner of nodes) {
    inner.ownerGraph = undefined;
    for (const value of inner.outputs) if (value) rename(value, taken, names);
    graph.insert(inner, node);
  }
  graph.quantizationAnnotations.push(...branch.quantizationAnnotations);
  branch.nodes.length = 0;
  branch.initializers.clear();
  node.outputs.forEach((output, index) => {
    const result = branch.outputs[index];
    if (output && result) replaceAllUses(output, result, { graph });
  });
  graph.remove(node);
};

/** Names outside the node that is being replaced. */
const visibleNames = (graph: Graph, replaced: Node): Set<string> => {
  const names = new Set<string>();
  const inside = new Set(replaced.subgraphs().flatMap((body) => [...graphsWithin(body)]));
  let root = graph;
  while (root.parent) root = root.parent;
  for (const other of graphsWithin(root)) {
    if (inside.has(other)) continue;
    for (const value of [...other.inputs, ...other.initializers]) names.add(value.name);
    for (const node of other.nodes) for (const value of node.outputs) if (value) names.add(value.name);
  }
  return names;
};

const rename = (value: Value, taken: Set<string>, names: NameSource): void => {
  if (taken.has(value.name)) value.name = names.fresh(value.name);
  taken.add(value.name);
};
