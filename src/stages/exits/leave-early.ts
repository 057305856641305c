import { OperatorBuilder } from '../../ir/build.ts';
import { freshName } from '../../ir/edit/names.ts';
import { Graph, intAttribute, intsAttribute, Node, type Program, Value } from '../../ir/graph.ts';
import { blockKey } from '../../ir/model.ts';
import type { ValueType } from '../../ir/shape.ts';
import { capturedValues } from '../../ir/walk.ts';
import type { OutputKind } from '../../metrics/outputs.ts';
import type { ExitHead } from './heads.ts';
import type { ExitPlace } from './places.ts';

/** An exit that is to be built. */
export interface Exit {
  readonly place: ExitPlace;
  readonly head: ExitHead;
  /** Confidence at which a sample leaves. */
  readonly threshold: number;
}

/** Nodes that values are computed by, in any order. */
const nodesBehind = (values: readonly Value[]): Set<Node> => {
  const found = new Set<Node>();
  const pending = [...values];
  for (let value = pending.pop(); value; value = pending.pop()) {
    const { producer } = value;
    if (!producer || found.has(producer)) continue;
    found.add(producer);
    for (const input of producer.inputs) if (input) pending.push(input);
    pending.push(...producer.subgraphs().flatMap(capturedValues));
  }
  return found;
};

/** Nodes of one graph as nodes of another, values and all. */
const moveNodes = (nodes: readonly Node[], from: Graph, to: Graph): void => {
  const fields = nodes.map(({ op, domain, overload, name, inputs, outputs, attributes, metadata }) => ({
    made: { op, domain, overload, name, inputs: [...inputs], outputs: [...outputs], attributes: new Map(attributes) },
    metadata: new Map(metadata),
  }));
  // Bodies belong to the new nodes: they are taken off the old ones before those let go of their values.
  for (const node of nodes) node.attributes.clear();
  from.remove(...nodes);
  for (const { made, metadata } of fields) {
    const node = new Node(made);
    for (const [key, text] of metadata) node.metadata.set(key, text);
    to.insert(node);
  }
};

/** What a head reads of a stream, as `featuresOf` computes it. */
const featuresIn = (b: OperatorBuilder, { stream, pooling }: ExitPlace): Value => {
  if (pooling.kind === 'none') return stream;
  if (pooling.kind === 'mean')
    return b.call('Squeeze', [b.divide(b.sumOver(stream, [1], 'keep'), positionsOf(b, stream)), b.integers([1])]);
  const mean = b.call('GlobalAveragePool', [stream]);
  const square = b.call('GlobalAveragePool', [b.multiply(stream, stream)]);
  const spread = b.call('Sqrt', [b.call('Relu', [b.subtract(square, b.multiply(mean, mean))])]);
  const grid =
    pooling.cells === 1
      ? mean
      : b.call('AveragePool', [stream], {
          kernel_shape: intsAttribute(pooling.cellSize),
          strides: intsAttribute(pooling.cellSize),
        });
  const flat = [grid, b.call('GlobalMaxPool', [stream]), spread].map((value) => b.call('Flatten', [value]));
  return b.call('Concat', flat, { axis: intAttribute(1) });
};

/** The scores of a head and whether it is sure, as nodes at the end of a graph; and the constants in the main graph. */
const buildHead = (
  b: OperatorBuilder,
  { place, head, threshold }: Exit,
  kind: OutputKind,
): { readonly scores: Value; readonly sure: Value } => {
  const classes = head.bias.length;
  const features = featuresIn(b, place);
  const turned = new Float32Array(head.weight.length);
  for (let c = 0; c < classes; c++)
    for (let i = 0; i < head.features; i++) turned[i * classes + c] = head.weight[c * head.features + i]!;
  const product = b.call('MatMul', [features, b.floats([head.features, classes], turned, 'float32')]);
  const logits = b.add(product, b.floats([classes], head.bias, 'float32'));
  const chances = b.call('Softmax', [logits], { axis: intAttribute(-1) });
  const scores =
    kind === 'probabilities' ? chances : kind === 'log-probabilities' ? b.call('LogSoftmax', [logits]) : logits;
  const sure = b.call('GreaterOrEqual', [leastOfMost(b, chances), b.scalar(threshold, 'float32')]);
  return { scores, sure };
};

const positionsOf = (b: OperatorBuilder, stream: Value): Value =>
  b.call('Cast', [b.call('Slice', [b.call('Shape', [stream]), b.integers([1]), b.integers([2])])], {
    to: intAttribute(1),
  });

/** The greatest chance of each row, and the least of those: a number. */
const leastOfMost = (b: OperatorBuilder, chances: Value): Value => {
  const flat = b.call('Reshape', [b.call('Neg', [topOf(b, chances)]), b.integers([1, -1])]);
  return b.call('Reshape', [b.call('Neg', [topOf(b, flat)]), b.integers([])]);
};

/** The greatest number along the last axis; the attribute form of ReduceMax differs between operator sets. */
const topOf = (b: OperatorBuilder, values: Value): Value =>
  b.calls('TopK', [values, b.integers([1])], 2, { axis: intAttribute(-1) })[0]!;

/** A branch that gives one value of the graph outside under a name of its own. */
const passing = (name: string, value: Value, type: ValueType | undefined): Graph => {
  const graph = new Graph(name);
  const output = new Value(`${name}.scores`, type);
  graph.insert(new Node({ op: 'Identity', name: `${name}.leave`, inputs: [value], outputs: [output] }));
  graph.outputs.push(output);
  return graph;
};

/**
 * Builds exits into a program, in place: behind each place its head, and an If that gives the head's scores where it is
 * sure and otherwise computes what follows, further exits inside of it. The output keeps its name and type.
 */
export const leaveEarly = (program: Program, exits: readonly Exit[], kind: OutputKind): void => {
  const { graph } = program;
  const [whole] = graph.outputs;
  const type = whole!.type;
  const name = whole!.name;
  let present = graph;
  let needed = new Set<Node>();
  for (const [index, exit] of exits.entries()) {
    needed = new Set([...needed, ...nodesBehind([exit.place.stream])]);
    const later = new Graph(`later ${index}`);
    const rest = present.nodes.filter((node) => !needed.has(node));
    moveNodes(rest, present, later);
    later.outputs.push(whole!);
    present.outputs.splice(0);
    const b = new OperatorBuilder(present, `exits/${index}`);
    const before = present.nodes.length;
    const { scores, sure } = buildHead(b, exit, kind);
    const block = exit.place.stream.producer?.metadata.get(blockKey);
    if (block !== undefined) for (const node of present.nodes.slice(before)) node.metadata.set(blockKey, block);
    const output = new Value(index === 0 ? name : freshName(present, `${name}.after ${index}`), type);
    const choice = new Node({
      op: 'If',
      name: `exits/${index}`,
      inputs: [sure],
      outputs: [output],
      attributes: {
        then_branch: { kind: 'graph', value: passing(`exit ${index}`, scores, type) },
        else_branch: { kind: 'graph', value: later },
      },
    });
    present.insert(choice);
    present.outputs.push(output);
    present = later;
  }
  whole!.name = freshName(present, `${name}.whole`);
};
