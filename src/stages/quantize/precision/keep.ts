import { findSites } from '../../../analysis/sites.ts';
import { dataTypeFromOnnx, dataTypes } from '../../../ir/data-type.ts';
import type { Node, Program, Value } from '../../../ir/graph.ts';
import { roleKey } from '../../../ir/model.ts';
import { nodesWithin } from '../../../ir/walk.ts';
import type { Finding } from '../../../recipe/events.ts';
import { compileSelector, findUnmatched, type Selectable } from '../../select-sites.ts';
import { delicateOperators, halfObstacle } from './operators.ts';

/** Nodes that stay as they are, each with the reason. */
export type KeptNodes = ReadonlyMap<Node, string>;

export interface KeepDecision {
  readonly kept: KeptNodes;
  readonly findings: readonly Finding[];
}

/** What a pattern looks at: a node's name, or that of its first result, and the name of its first constant. */
const selectable = (node: Node): Selectable => ({
  name: node.name || (node.outputs.find((value) => value !== undefined)?.name ?? node.op),
  op: node.op,
  role: node.metadata.get(roleKey),
  weight: { name: node.inputs.find((value) => value?.tensor)?.name ?? '' },
});

/** Nodes that the recipe's patterns name. */
const keptByPattern = (nodes: readonly Node[], patterns: readonly string[]): KeepDecision => {
  const selectors = patterns.map(compileSelector);
  const candidates = nodes.map((node) => ({ node, target: selectable(node) }));
  const kept = new Map<Node, string>();
  for (const { node, target } of candidates) {
    const found = selectors.find((selector) => selector.matches(target));
    if (found) kept.set(node, `named by "${found.pattern}"`);
  }
  const findings = findUnmatched(
    'keep',
    selectors,
    candidates.map(({ target }) => target),
  );
  return { kept, findings };
};

/** Whether fractions are cut off: half precision would give the whole number beside where it rounds across one. */
const truncates = (node: Node): boolean => {
  const to = node.op === 'Cast' ? dataTypeFromOnnx(node.int('to', 0)) : undefined;
  return to !== undefined && to !== 'bool' && !dataTypes[to].float;
};

const isDelicate = (node: Node): boolean => node.domain === '' && (delicateOperators.has(node.op) || truncates(node));

/** Adds nodes whose results only delicate nodes read, however far back: half precision would lose theirs before. */
const closeBackwards = (
  nodes: readonly Node[],
  kept: Map<Node, string>,
  outputs: ReadonlySet<Value>,
  products: ReadonlySet<Node>,
): void => {
  const causes = new Map([...kept.keys()].filter(isDelicate).map((node) => [node, node.op]));
  for (const node of nodes.toReversed()) {
    if (kept.has(node) || products.has(node) || node.op === 'Constant' || node.subgraphs().length > 0) continue;
    const readers = node.outputs.flatMap((value) => value?.uses ?? []);
    const handedOut = node.outputs.some((value) => value && outputs.has(value));
    const cause = readers[0] && causes.get(readers[0].node);
    if (cause === undefined || handedOut || !readers.every((use) => causes.has(use.node))) continue;
    causes.set(node, cause);
    kept.set(node, `only feeds ${cause}`);
  }
};

/**
 * Which nodes stay in float32 when a program is converted to half precision: those that the recipe names, those
 * without a half-precision form, delicate ones (see delicateOperators, and casts to integers), and what only feeds these. `reasons` 'named'
 * leaves it at the first.
 */
export const decideKept = (program: Program, patterns: readonly string[], reasons: 'named' | 'all'): KeepDecision => {
  const nodes = [...nodesWithin(program.graph)];
  const named = keptByPattern(nodes, patterns);
  if (reasons === 'named') return named;
  const kept = new Map(named.kept);
  for (const node of nodes) {
    const reason = halfObstacle(node) ?? (isDelicate(node) ? `${node.op} needs float32's range` : undefined);
    if (reason && !kept.has(node)) kept.set(node, reason);
  }
  const outputs = new Set(nodes.flatMap((node) => node.subgraphs()).flatMap((body) => body.outputs));
  for (const value of program.graph.outputs) outputs.add(value);
  closeBackwards(nodes, kept, outputs, new Set(findSites(program).map((site) => site.node)));
  return { kept, findings: named.findings };
};
