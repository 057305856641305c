import type { Node, Program } from '../ir/graph.ts';
import { blockKey } from '../ir/model.ts';
import { type Block, blocksOf, type Flow, flowOf, type Group, liveCounts, mostLive } from './flow.ts';

export type { Block } from './flow.ts';

/** A piece with more sites than this is cut at places where more than the fewest activations are alive. */
const mostSites = 12;

/** Half-open ranges of node positions. */
type Range = readonly [begin: number, end: number];

/**
 * Cuts `range` where at most `live` activations are alive. Pieces without a site join the piece before them, so that a
 * cut lies right before the nodes that lead to the next site; pieces with many sites are cut again.
 */
const cutRange = (range: Range, live: number, counts: readonly number[], hasSite: readonly number[]): Range[] => {
  const [begin, end] = range;
  const sitesIn = ([from, to]: Range): number => hasSite.slice(from, to).reduce((sum, count) => sum + count, 0);
  const total = sitesIn(range);
  if (total <= 1 || live > mostLive) return [range];
  const pieces: [number, number][] = [];
  let from = begin;
  for (let index = begin; index < end; index++) {
    if (index < end - 1 && counts[index]! > live) continue;
    const piece: [number, number] = [from, index + 1];
    const previous = pieces.at(-1);
    if (previous && (sitesIn(piece) === 0 || sitesIn(previous) === 0)) previous[1] = piece[1];
    else pieces.push(piece);
    from = index + 1;
  }
  return pieces.flatMap((piece) => (sitesIn(piece) > mostSites ? cutRange(piece, live + 1, counts, hasSite) : [piece]));
};

const blockNumber = (node: Node): number | undefined => {
  const text = node.metadata.get(blockKey);
  return text === undefined ? undefined : Number(text);
};

/**
 * Groups by the numbers that a family has given: nodes without one belong to what they continue, or to the input or
 * output group. undefined when there are no numbers, or when a node reads a later block.
 */
const numberedGroups = (flow: Flow): Group[] | undefined => {
  const numbers = [...new Set(flow.nodes.map(blockNumber).filter((number) => number !== undefined))].sort(
    (a, b) => a - b,
  );
  if (numbers.length === 0) return undefined;
  const groups: Group[] = [
    { name: 'input', nodes: [] },
    ...numbers.map((number) => ({ name: `block ${number}`, nodes: [] })),
    { name: 'output', nodes: [] },
  ];
  const groupOf = new Map<Node, number>();
  for (const node of flow.nodes) {
    const before = Math.max(
      0,
      ...(flow.readers.get(node) ?? []).map((value) => (value.producer && groupOf.get(value.producer)) ?? 0),
    );
    const number = blockNumber(node);
    const group =
      number === undefined ? (before === numbers.length ? before + 1 : before) : numbers.indexOf(number) + 1;
    if (group < before) return undefined;
    groupOf.set(node, group);
    groups[group]?.nodes.push(node);
  }
  return groups.filter((group) => group.nodes.length > 0);
};

const detectedGroups = (flow: Flow): Group[] => {
  if (flow.nodes.length === 0) return [];
  const hasSite = flow.nodes.map((node) => flow.sitesOf.get(node)?.length ?? 0);
  const ranges = cutRange([0, flow.nodes.length], 1, liveCounts(flow), hasSite);
  return ranges.map(([begin, end], index) => ({ name: `segment ${index}`, nodes: flow.nodes.slice(begin, end) }));
};

/**
 * The blocks of a program in execution order: those that its family has numbered (metadata `modelpress.block`), or
 * else pieces between places where few activations are alive, whole residual branches where possible. Every site is
 * in exactly one block. Nodes that need no site (masks, positions) belong to no block: each computes them for itself.
 */
export const findBlocks = (program: Program): Block[] => {
  const flow = flowOf(program);
  return blocksOf(flow, numberedGroups(flow) ?? detectedGroups(flow));
};
