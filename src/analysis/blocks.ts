import type { Graph, Node, Program, Value } from '../ir/graph.ts';
import { blockKey } from '../ir/model.ts';
import { capturedValues } from '../ir/walk.ts';
import { findSites, type Site } from './sites.ts';

/**
 * A run of nodes of the main graph that is worked on as a unit. Blocks follow each other in execution order; what a
 * later block reads of an earlier one are the earlier one's outputs.
 */
export interface Block {
  readonly index: number;
  /** 'block 3' for numbered blocks of a family, 'segment 3' for detected ones, 'input' and 'output' around them. */
  readonly name: string;
  /** The block's own nodes, in execution order, without those that every block computes for itself. */
  readonly nodes: readonly Node[];
  /** Values of earlier blocks and inputs of the graph that this block reads. */
  readonly inputs: readonly Value[];
  /** Values that later blocks read, and outputs of the graph that this block computes. */
  readonly outputs: readonly Value[];
  readonly sites: readonly Site[];
}

/** What a node reads: its inputs, and what its bodies read of the outside. */
const valuesRead = (node: Node): Value[] => [
  ...node.inputs.filter((value) => value !== undefined),
  ...node.subgraphs().flatMap(capturedValues),
];

/** Where the work of a graph may be cut, and what is cheap enough to be done again in each part. */
interface Flow {
  readonly graph: Graph;
  /** Values that depend on the graph's inputs and on constants without passing a site: masks, positions, scalings. */
  readonly free: ReadonlySet<Value>;
  /** Values that only depend on the shapes of activations. */
  readonly shapes: ReadonlySet<Value>;
  /** Nodes that are not free, in execution order. */
  readonly nodes: readonly Node[];
  readonly readers: ReadonlyMap<Node, readonly Value[]>;
}

const shapeOperators = new Set(['Shape', 'Size']);

const flowOf = (graph: Graph, siteNodes: ReadonlySet<Node>): Flow => {
  const free = new Set<Value>([...graph.inputs, ...graph.initializers]);
  const shapes = new Set<Value>();
  const nodes: Node[] = [];
  const readers = new Map<Node, readonly Value[]>();
  for (const node of graph.nodes) {
    const read = valuesRead(node);
    readers.set(node, read);
    const isFree = !siteNodes.has(node) && read.every((value) => free.has(value));
    const isShape = shapeOperators.has(node.op) || read.every((value) => shapes.has(value) || free.has(value));
    for (const output of node.outputs) {
      if (!output) continue;
      if (isFree) free.add(output);
      else if (isShape && !siteNodes.has(node)) shapes.add(output);
    }
    if (!isFree) nodes.push(node);
  }
  return { graph, free, shapes, nodes, readers };
};

/** Number of activations that are alive between node `i` and node `i + 1` of the flow, for every i. */
const liveCounts = ({ nodes, readers, shapes }: Flow): number[] => {
  const position = new Map(nodes.map((node, index) => [node, index]));
  const lastRead = new Map<Value, number>();
  for (const [index, node] of nodes.entries()) for (const value of readers.get(node) ?? []) lastRead.set(value, index);
  const changes = new Array<number>(nodes.length + 1).fill(0);
  for (const [value, last] of lastRead) {
    const made = value.producer && position.get(value.producer);
    if (made === undefined || shapes.has(value) || last <= made) continue;
    changes[made]! += 1;
    changes[last]! -= 1;
  }
  let live = 0;
  return nodes.map((_, index) => {
    live += changes[index] ?? 0;
    return live;
  });
};

/** A piece with more sites than this is cut at places where more than the fewest activations are alive. */
const mostSites = 12;
/** Beyond this many live activations a cut is no gain. */
const mostLive = 8;

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

/** A named group of nodes. */
interface Group {
  readonly name: string;
  readonly nodes: Node[];
}

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

const detectedGroups = (flow: Flow, sitesOf: ReadonlyMap<Node, readonly Site[]>): Group[] => {
  if (flow.nodes.length === 0) return [];
  const hasSite = flow.nodes.map((node) => sitesOf.get(node)?.length ?? 0);
  const ranges = cutRange([0, flow.nodes.length], 1, liveCounts(flow), hasSite);
  return ranges.map(([begin, end], index) => ({ name: `segment ${index}`, nodes: flow.nodes.slice(begin, end) }));
};

/** The node of the main graph that a site stands in: its own node, or the one whose body holds it. */
const mainNodeOf = (site: Site, graph: Graph): Node => {
  let node = site.node;
  let at: Graph | undefined = site.graph;
  while (at && at !== graph && at.ownerNode) {
    node = at.ownerNode;
    at = node.graph;
  }
  return node;
};

/** Graph inputs (not constants) that are behind the free values among `values`. */
const inputsBehind = (values: Iterable<Value>, flow: Flow): Set<Value> => {
  const found = new Set<Value>();
  const seen = new Set<Value>();
  const pending = [...values];
  for (let value = pending.pop(); value; value = pending.pop()) {
    if (seen.has(value)) continue;
    seen.add(value);
    if (!value.producer) {
      if (!value.tensor) found.add(value);
    } else if (flow.free.has(value)) pending.push(...(flow.readers.get(value.producer) ?? []));
  }
  return found;
};

/**
 * The blocks of a program in execution order: those that its family has numbered (metadata `modelpress.block`), or
 * else pieces between places where few activations are alive, whole residual branches where possible. Every site is
 * in exactly one block. Nodes that need no site (masks, positions) belong to no block: each computes them for itself.
 */
export const findBlocks = (program: Program): Block[] => {
  const { graph } = program;
  const sitesOf = new Map<Node, Site[]>();
  for (const site of findSites(program)) {
    const node = mainNodeOf(site, graph);
    sitesOf.set(node, [...(sitesOf.get(node) ?? []), site]);
  }
  const flow = flowOf(graph, new Set(sitesOf.keys()));
  const groups = numberedGroups(flow) ?? detectedGroups(flow, sitesOf);
  const groupOf = new Map(groups.flatMap((group, index) => group.nodes.map((node) => [node, index] as const)));
  const outputs = groups.map(() => new Set<Value>());
  const inputs = groups.map(() => new Set<Value>());
  for (const [node, index] of groupOf)
    for (const value of flow.readers.get(node) ?? []) {
      const made = value.producer && groupOf.get(value.producer);
      if (made !== undefined && made !== index) {
        inputs[index]?.add(value);
        outputs[made]?.add(value);
      }
    }
  for (const value of graph.outputs) {
    const made = value.producer && groupOf.get(value.producer);
    if (made !== undefined) outputs[made]?.add(value);
  }
  return groups.map(({ name, nodes }, index) => ({
    index,
    name,
    nodes,
    inputs: [
      ...inputsBehind(
        nodes.flatMap((node) => flow.readers.get(node)?.filter((value) => flow.free.has(value)) ?? []),
        flow,
      ),
      ...(inputs[index] ?? []),
    ],
    outputs: [...(outputs[index] ?? [])],
    sites: nodes.flatMap((node) => sitesOf.get(node) ?? []),
  }));
};
