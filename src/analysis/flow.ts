import type { Graph, Node, Program, Value } from '../ir/graph.ts';
import { capturedValues } from '../ir/walk.ts';
import { findSites, type Site } from './sites.ts';

/**
 * A run of nodes of the main graph that is worked on as a unit. Blocks follow each other in execution order; what a
 * later block reads of an earlier one are the earlier one's outputs.
 */
export interface Block {
  readonly index: number;
  /** 'block 3' for numbered blocks of a family, 'segment 3' for detected ones, 'input' and 'output' around them; the first site of a step. */
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
export interface Flow {
  readonly graph: Graph;
  /** Values that depend on the graph's inputs and on constants without passing a site: masks, positions, scalings. */
  readonly free: ReadonlySet<Value>;
  /** Values that only depend on the shapes of activations. */
  readonly shapes: ReadonlySet<Value>;
  /** Nodes that are not free, in execution order. */
  readonly nodes: readonly Node[];
  readonly readers: ReadonlyMap<Node, readonly Value[]>;
  /** Sites by the node of the main graph that they stand in. */
  readonly sitesOf: ReadonlyMap<Node, readonly Site[]>;
}

const shapeOperators = new Set(['Shape', 'Size']);

/** The flow of a program's main graph. */
export const flowOf = (program: Program): Flow => {
  const { graph } = program;
  const sitesOf = new Map<Node, Site[]>();
  for (const site of findSites(program)) {
    const node = mainNodeOf(site, graph);
    sitesOf.set(node, [...(sitesOf.get(node) ?? []), site]);
  }
  const free = new Set<Value>([...graph.inputs, ...graph.initializers]);
  const shapes = new Set<Value>();
  const nodes: Node[] = [];
  const readers = new Map<Node, readonly Value[]>();
  for (const node of graph.nodes) {
    const read = valuesRead(node);
    readers.set(node, read);
    const isFree = !sitesOf.has(node) && read.every((value) => free.has(value));
    const isShape = shapeOperators.has(node.op) || read.every((value) => shapes.has(value) || free.has(value));
    for (const output of node.outputs) {
      if (!output) continue;
      if (isFree) free.add(output);
      else if (isShape && !sitesOf.has(node)) shapes.add(output);
    }
    if (!isFree) nodes.push(node);
  }
  return { graph, free, shapes, nodes, readers, sitesOf };
};

/** Beyond this many live activations a cut is no gain. */
export const mostLive = 8;

/** Number of activations that are alive between node `i` and node `i + 1` of the flow, for every i. */
export const liveCounts = ({ nodes, readers, shapes }: Flow): number[] => {
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

/** A named group of nodes. */
export interface Group {
  readonly name: string;
  readonly nodes: Node[];
}

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

/** Groups of nodes that follow each other, with what crosses their borders. */
export const blocksOf = (flow: Flow, groups: readonly Group[]): Block[] => {
  const { graph, sitesOf } = flow;
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
