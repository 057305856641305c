import type { Node, Program, Value } from '../ir/graph.ts';
import { findBlocks } from './blocks.ts';
import { type Block, blocksOf, type Flow, flowOf, type Group, mostLive } from './flow.ts';
import type { Site } from './sites.ts';

/** Sites of one node, or of several that read the same input one after the other (q, k and v). */
interface Step {
  readonly input: Value | undefined;
  readonly sites: Site[];
  readonly nodes: Set<Node>;
}

const stepsOf = (flow: Flow): Step[] => {
  const steps: Step[] = [];
  for (const node of flow.nodes) {
    const sites = flow.sitesOf.get(node);
    if (!sites) continue;
    const inputs = new Set(sites.map((site) => site.input));
    const input = inputs.size === 1 ? sites[0]?.input : undefined;
    const last = steps.at(-1);
    if (last && input && last.input === input) {
      last.sites.push(...sites);
      last.nodes.add(node);
    } else steps.push({ input, sites: [...sites], nodes: new Set([node]) });
  }
  return steps;
};

/** For every step the last one that must be in the same piece: sites that share a constant within one block. */
const tiesOf = (steps: readonly Step[], blocks: readonly Block[]): number[] => {
  const blockOf = new Map(blocks.flatMap((block) => block.sites.map((site) => [site.node, block.index] as const)));
  const last = new Map<string, number>();
  const ids = new Map<Value, number>();
  const key = (site: Site): string => {
    const id = ids.get(site.weight) ?? ids.size;
    ids.set(site.weight, id);
    return `${blockOf.get(site.node)}/${id}`;
  };
  for (const [index, { sites }] of steps.entries()) for (const site of sites) last.set(key(site), index);
  return steps.map(({ sites }, index) => Math.max(index, ...sites.map((site) => last.get(key(site)) ?? index)));
};

/** The piece of every node: one more than that of the step whose results it needs; nodes before the first step are 0. */
const placeNodes = (flow: Flow, steps: readonly Step[]): Map<Node, number> => {
  const stepOf = new Map(steps.flatMap(({ nodes }, index) => [...nodes].map((node) => [node, index] as const)));
  const pieceOf = new Map<Node, number>();
  for (const node of flow.nodes) {
    const step = stepOf.get(node);
    const before = (flow.readers.get(node) ?? []).map((value) => (value.producer && pieceOf.get(value.producer)) ?? 0);
    pieceOf.set(node, step === undefined ? Math.max(0, ...before) : step + 1);
  }
  return pieceOf;
};

/** Activations alive between each piece and the next. */
const liveBetween = (flow: Flow, pieceOf: ReadonlyMap<Node, number>, count: number): number[] => {
  const lastRead = new Map<Value, number>();
  for (const [node, piece] of pieceOf)
    for (const value of flow.readers.get(node) ?? [])
      lastRead.set(value, Math.max(piece, lastRead.get(value) ?? piece));
  const live = new Array<number>(count).fill(0);
  for (const [value, last] of lastRead) {
    const made = value.producer && pieceOf.get(value.producer);
    if (made === undefined || flow.shapes.has(value)) continue;
    for (let piece = made; piece < last; piece++) live[piece]! += 1;
  }
  return live;
};

/**
 * A program in the finest pieces that weights can be rounded in, in execution order: each begins with the products of
 * one input, which is stored by then, and goes on to the next input. Walking these pieces computes everything once,
 * while each weight still sees what all weights before it have become. Pieces between which much is alive, and those
 * with sites of one constant, stay together.
 */
export const findSteps = (program: Program): Block[] => {
  const flow = flowOf(program);
  const steps = stepsOf(flow);
  const ties = tiesOf(steps, findBlocks(program));
  const pieceOf = placeNodes(flow, steps);
  const live = liveBetween(flow, pieceOf, steps.length + 1);
  // The group of each piece: a new one where a cut is good and no tie crosses it.
  const groupOf = [0];
  let reach = -1;
  for (let piece = 1; piece <= steps.length; piece++) {
    const cut = reach < piece - 1 && live[piece - 1]! <= mostLive;
    groupOf.push(groupOf.at(-1)! + (cut ? 1 : 0));
    reach = Math.max(reach, ties[piece - 1]!);
  }
  const groups: Group[] = Array.from({ length: groupOf.at(-1)! + 1 }, () => ({ name: 'input', nodes: [] }));
  for (const [piece, group] of groupOf.entries())
    if (piece > 0 && groups[group]!.name === 'input' && group > 0)
      groups[group] = { name: steps[piece - 1]!.sites[0]!.name, nodes: [] };
  for (const node of flow.nodes) groups[groupOf[pieceOf.get(node)!]!]!.nodes.push(node);
  return blocksOf(
    flow,
    groups.filter(({ nodes }) => nodes.length > 0),
  );
};
