import type { DataType } from '../../ir/data-type.ts';
import { nameSource } from '../../ir/edit/names.ts';
import { replaceAllUses } from '../../ir/edit/replace.ts';
import { type Graph, intAttribute, Node, Value } from '../../ir/graph.ts';
import { sameTensor } from '../../ir/read.ts';
import { tensorType } from '../../ir/shape.ts';
import type { Tensor } from '../../ir/tensor.ts';
import { capturedValues, constantOf } from '../../ir/walk.ts';

/** The nodes that compute one value from values that another graph has too. */
export interface Region {
  /** In execution order; nodes that make constants are not among them. */
  readonly nodes: readonly Node[];
  /** Computed values and inputs that it begins with, each once. */
  readonly reads: readonly Value[];
  /** Constants that it reads, each once. */
  readonly constants: readonly Value[];
  readonly output: Value;
}

/** A region of more nodes is no other form of one product. */
const mostNodes = 24;

/**
 * The nodes behind a value, back to values that `isKnown` accepts; undefined where one of them has bodies, where they are
 * too many, and where an input of the graph is reached that is not known.
 */
export const regionOf = (output: Value, isKnown: (value: Value) => boolean): Region | undefined => {
  const nodes = new Set<Node>();
  const reads = new Set<Value>();
  const constants = new Set<Value>();
  /** Depth first, so that nodes are added after all that they read. */
  const visit = (value: Value): boolean => {
    const { producer } = value;
    if (!producer || producer.subgraphs().length > 0 || nodes.size >= mostNodes) return false;
    for (const input of producer.inputs) {
      if (!input || reads.has(input) || constants.has(input)) continue;
      if (constantOf(input)) constants.add(input);
      else if (isKnown(input)) reads.add(input);
      else if ((!input.producer || !nodes.has(input.producer)) && !visit(input)) return false;
    }
    nodes.add(producer);
    return true;
  };
  return visit(output) ? { nodes: [...nodes], reads: [...reads], constants: [...constants], output } : undefined;
};

/** True when two regions do the same with the same numbers. Reads constants of equal type and shape. */
export const sameRegion = (a: Region, b: Region): boolean => {
  const sameValue = (x: Value | undefined, y: Value | undefined): boolean => {
    const [one, other] = [constantOf(x), constantOf(y)];
    return one && other ? sameTensor(one, other) : !one && !other && (x === undefined) === (y === undefined);
  };
  return (
    a.nodes.length === b.nodes.length &&
    a.nodes.every((node, index) => {
      const other = b.nodes[index]!;
      return (
        node.op === other.op &&
        node.domain === other.domain &&
        node.inputs.length === other.inputs.length &&
        node.inputs.every((input, at) => sameValue(input, other.inputs[at]))
      );
    })
  );
};

/** Computed values and inputs of a main graph by name. */
export const computedValues = (graph: Graph): Map<string, Value> => {
  const found = new Map<string, Value>();
  for (const input of graph.inputs) if (!input.tensor) found.set(input.name, input);
  for (const node of graph.nodes)
    for (const output of node.outputs) if (output && !constantOf(output)) found.set(output.name, output);
  return found;
};

/** The node of a graph before which everything that reads a value comes later; undefined where only outputs do. */
export const firstReader = (graph: Graph, value: Value): Node | undefined =>
  graph.nodes.find(
    (node) => node.inputs.includes(value) || node.subgraphs().some((body) => capturedValues(body).includes(value)),
  );

const typeOf = (value: Value): DataType | undefined => (value.type?.kind === 'tensor' ? value.type.dtype : undefined);

/** The number of a type in Cast nodes. */
const castNumbers: Partial<Record<DataType, number>> = { float32: 1, float16: 10, bfloat16: 16, float64: 11 };

/** What a value is multiplied by where a graft reads it, and what the graft's own result is, by names; see ChannelScale. */
export interface Units {
  readonly read: (name: string) => Tensor | undefined;
  readonly made: (name: string) => Tensor | undefined;
}

const sameUnits: Units = { read: () => undefined, made: () => undefined };

/**
 * Makes a graph compute the value named as the region's output by a copy of that region, whose inputs it finds by
 * name; what it computes has the name from then on. Between floating-point types that are known and differ, a Cast stands.
 * @param constants numbers in place of some of the region's constants.
 */
export const graft = (
  graph: Graph,
  region: Region,
  constants: ReadonlyMap<Value, Tensor> = new Map(),
  units: Units = sameUnits,
): void => {
  const known = computedValues(graph);
  const old = known.get(region.output.name)!;
  const before = firstReader(graph, old);
  const names = nameSource(graph);
  const fresh = (name: string): string => names.fresh(`${name}:grafted`);
  const cast = (value: Value, from: DataType | undefined, to: DataType | undefined): Value => {
    const number = to && castNumbers[to];
    if (from === undefined || from === to || number === undefined || castNumbers[from] === undefined) return value;
    const converted = new Value(fresh(value.name), tensorType(to));
    const attributes = { to: intAttribute(number) };
    graph.insert(new Node({ op: 'Cast', inputs: [value], outputs: [converted], attributes }), before);
    return converted;
  };
  const inUnits = (value: Value, factors: Tensor | undefined): Value => {
    if (!factors || (typeOf(value) ?? 'float32') !== 'float32') return value;
    const converted = new Value(fresh(value.name), value.type);
    const inputs = [value, graph.addInitializer(fresh(`${value.name}/units`), factors)];
    graph.insert(new Node({ op: 'Mul', inputs, outputs: [converted] }), before);
    return converted;
  };
  const copies = new Map<Value, Value>();
  for (const value of region.reads) {
    const found = known.get(value.name)!;
    copies.set(value, cast(inUnits(found, units.read(value.name)), typeOf(found), typeOf(value)));
  }
  for (const value of region.constants)
    copies.set(value, graph.addInitializer(fresh(value.name), constants.get(value) ?? constantOf(value)!));
  for (const node of region.nodes) {
    const outputs = node.outputs.map((value) => {
      if (!value) return undefined;
      const copy = new Value(fresh(value.name), value.type);
      copies.set(value, copy);
      return copy;
    });
    const inputs = node.inputs.map((value) => value && copies.get(value));
    const { op, domain, overload, attributes } = node;
    graph.insert(new Node({ op, domain, overload, inputs, outputs, attributes: new Map(attributes) }), before);
  }
  const { name } = old;
  const made = inUnits(cast(copies.get(region.output)!, typeOf(region.output), typeOf(old)), units.made(name));
  replaceAllUses(old, made, { graph });
  // An output of the graph has handed its name on by now; what is grafted later must find the new value, too.
  if (old.name !== name) return;
  old.name = fresh(name);
  made.name = name;
};
