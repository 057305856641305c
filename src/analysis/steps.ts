import type { Node, Program, Value } from '../ir/graph.ts';
import { findBlocks } from './blocks.ts';
import { type Block, blocksOf, type Flow, flowOf, type Group } from './flow.ts';
import type { Site } from './sites.ts';

/** Beyond this many live activations (each expert of a layer has its own) a cut is no gain. */
const mostLive = 32;

/**
 * How many sites lie one behind the other on the way to every node of a flow, sites included: 1 for the first ones.
 * Sites of one level do not depend on each other, so they can be rounded from one look at the data.
 */
const levelsOf = (flow: Flow): Map<Node, number> => {
  const levels = new Map<Node, number>();
  for (const node of flow.nodes) {
    const before = (flow.readers.get(node) ?? []).map((value) => (value.producer && levels.get(value.producer)) ?? 0);
    levels.set(node, Math.max(0, ...before) + (flow.sitesOf.has(node) ? 1 : 0));
  }
  return levels;
};

/** Levels of sites by node: those of a body have the level of the node that holds it. */
export const siteLevels = (program: Program): Map<Node, number> => {
  const flow = flowOf(program);
  const levels = levelsOf(flow);
  const found = new Map<Node, number>();
  for (const [node, sites] of flow.sitesOf) for (const site of sites) found.set(site.node, levels.get(node) ?? 0);
  return found;
};

/** For every level the last one that must be in the same piece: sites that share a constant within one block. */
const tiesOf = (flow: Flow, levels: ReadonlyMap<Node, number>, blocks: readonly Block[]): Map<number, number> => {
  const blockOf = new Map(blocks.flatMap((block) => block.sites.map((site) => [site.node, block.index] as const)));
  const sharers = new Map<Value, Map<number | undefined, number[]>>();
  for (const [node, sites] of flow.sitesOf)
    for (const site of sites) {
      const byBlock = sharers.get(site.weight) ?? new Map<number | undefined, number[]>();
      const block = blockOf.get(site.node);
      byBlock.set(block, [...(byBlock.get(block) ?? []), levels.get(node) ?? 0]);
      sharers.set(site.weight, byBlock);
    }
  const ties = new Map<number, number>();
  for (const byBlock of sharers.values())
    for (const tied of byBlock.values()) {
      const first = Math.min(...tied);
      ties.set(first, Math.max(ties.get(first) ?? 0, ...tied));
    }
  return ties;
};

/** Activations alive between each level and the next. */
const liveAfter = (flow: Flow, levels: ReadonlyMap<Node, number>, count: number): number[] => {
  const lastRead = new Map<Value, number>();
  for (const [node, level] of levels)
    for (const value of flow.readers.get(node) ?? [])
      lastRead.set(value, Math.max(level, lastRead.get(value) ?? level));
  const live = new Array<number>(count).fill(0);
  for (const [value, last] of lastRead) {
    const made = value.producer && levels.get(value.producer);
    if (made === undefined || flow.shapes.has(value)) continue;
    for (let level = made; level < last; level++) live[level]! += 1;
  }
  return live;
};

/**
 * A program in the finest pieces that weights can be rounded in, in execution order: each begins with the products of
 * inputs that are stored by then, and goes on to the next inputs. Walking these pieces computes everything once, while
 * each weight still sees what all weights before it have become. Pieces between which much is alive, and those with
 * sites of one constant, stay together.
 */
export const findSteps = (program: Program): Block[] => {
  const flow = flowOf(program);
  const levels = levelsOf(flow);
  const last = Math.max(0, ...levels.values());
  const ties = tiesOf(flow, levels, findBlocks(program));
  const live = liveAfter(flow, levels, last + 1);
  const groups: Group[] = [];
  const groupOf: number[] = [];
  let tiedUpTo = 0;
  for (let level = 0; level <= last; level++) {
    const cut = level === 0 || (tiedUpTo < level && live[level - 1]! <= mostLive);
    if (cut) groups.push({ name: 'input', nodes: [] });
    groupOf.push(groups.length - 1);
    tiedUpTo = Math.max(tiedUpTo, ties.get(level) ?? 0);
  }
  for (const node of flow.nodes) groups[groupOf[levels.get(node)!]!]!.nodes.push(node);
  return blocksOf(
    flow,
    groups.filter(({ nodes }) => nodes.length > 0).map((group) => ({ ...group, name: nameOf(group, flow) })),
  );
};

/** The first site of a group, or 'input'. */
const nameOf = (group: Group, flow: Flow): string => {
  const sites = group.nodes.flatMap((node): readonly Site[] => flow.sitesOf.get(node) ?? []);
  return sites[0]?.name ?? 'input';
};
