import type { Node, Program, Value } from '../../ir/graph.ts';
import { readNumbers } from '../../ir/read.ts';
import { constantOf } from '../../ir/walk.ts';
import { findSites, type Site } from '../sites.ts';

/** One expert of a layer: its weight products. */
interface Expert {
  readonly sites: readonly Site[];
}

/** A sparse layer: a router that sends each token to some of its experts. */
export interface ExpertLayer {
  /** Number of the block that it belongs to; its place among the sparse layers where blocks have no numbers. */
  readonly block: number;
  readonly router: Site;
  readonly experts: readonly Expert[];
  /** Experts that each token is sent to. */
  readonly chosen: number;
  /** (tokens, chosen): numbers of the chosen experts, the first one the most wanted. */
  readonly choice: Value;
}

/** Nodes between a router's product and the choice: conversions, scores, at most a few. */
const mostSteps = 6;

/** The TopK that looks at a router's scores. */
const choiceBehind = (scores: Value, steps = mostSteps): Node | undefined => {
  for (const { node, index } of scores.uses) {
    if (node.op === 'TopK' && index === 0) return node;
    const next = steps > 0 && index === 0 && node.outputs.length === 1 ? node.outputs[0] : undefined;
    const found = next && choiceBehind(next, steps - 1);
    if (found) return found;
  }
  return undefined;
};

/** Numbers of experts by the name of the module: what stands before the last part of a site's name. */
const moduleOf = ({ name }: Site): string => name.slice(0, Math.max(0, name.lastIndexOf('.')));

/** Experts in execution order, which is that of their numbers. */
const expertsIn = (sites: readonly Site[]): Expert[] => {
  const modules = new Map<string, Site[]>();
  for (const site of sites) modules.set(moduleOf(site), [...(modules.get(moduleOf(site)) ?? []), site]);
  return [...modules.values()].map((own) => ({ sites: own }));
};

/**
 * The sparse layers of a program whose family has marked routers and experts, in execution order. Layers whose choice is
 * not made by a TopK over one score for each expert are left out.
 */
export const findExpertLayers = (program: Program): ExpertLayer[] => {
  const sites = findSites(program);
  const layers: ExpertLayer[] = [];
  for (const router of sites.filter(({ role }) => role === 'router')) {
    const experts = expertsIn(sites.filter(({ role, block }) => role?.startsWith('expert-') && block === router.block));
    const topK = choiceBehind(router.output);
    const count = constantOf(topK?.inputs[1]);
    const choice = topK?.outputs[1];
    if (!choice || !count || experts.length === 0 || experts.length !== router.rows) continue;
    const chosen = Number(readNumbers(count)[0]);
    layers.push({ block: router.block ?? layers.length, router, experts, chosen, choice });
  }
  return layers;
};
