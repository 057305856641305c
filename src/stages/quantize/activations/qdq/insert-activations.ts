import { internalError } from '../../../../errors.ts';
import type { NameSource } from '../../../../ir/edit/names.ts';
import { replaceAllUses } from '../../../../ir/edit/replace.ts';
import { type Graph, Node, type Program, type Use, Value } from '../../../../ir/graph.ts';
import { readFloats } from '../../../../ir/read.ts';
import { tensorType } from '../../../../ir/shape.ts';
import { constantOf, graphsWithin } from '../../../../ir/walk.ts';
import type { GridConstants, GridParameters } from '../constants.ts';
import { codeOf, codeRanges, endsOf, type Grid, gridOf } from '../grid.ts';
import { extremesOf } from '../ranges/range-method.ts';
import { codesTensor } from '../weight-store.ts';
import { clampBounds, dataInputs, integerOperatorOf } from './operators.ts';
import type { QdqPlan } from './plan.ts';

export interface ActivationInsertion {
  readonly program: Program;
  readonly plan: QdqPlan;
  /** Grid of each group, by the group's first member. */
  readonly grids: ReadonlyMap<Value, Grid>;
  readonly names: NameSource;
  readonly constants: GridConstants;
}

/** The graph that a computed value or an input belongs to. */
const homeOf = (program: Program, value: Value): Graph => {
  const found = value.producer?.graph ?? [...graphsWithin(program.graph)].find((graph) => graph.inputs.includes(value));
  if (found) return found;
  throw internalError(`value ${value.name} belongs to no graph`);
};

/** Reads of a value that are meant to see integers: by products and by operators that work on integers. */
const integerReaders = (plan: QdqPlan, value: Value): Use[] => {
  const products = new Set(plan.products.map((site) => site.node));
  return value.uses.filter(({ node, index }) => {
    if (products.has(node)) return index === 0;
    const operator = plan.integerNodes.has(node) ? integerOperatorOf(node) : undefined;
    return operator !== undefined && dataInputs(node, operator).includes(index);
  });
};

/**
 * True when rounding to the grid clamps at least as tightly as the node does: the outermost grid values are less than
 * half a step beyond its bounds, where both round to the same code.
 */
const gridClamps = (grid: Grid, bounds: { readonly low: number; readonly high: number }): boolean => {
  const ends = endsOf(grid);
  return ends.low > bounds.low - grid.scale / 2 && ends.high < bounds.high + grid.scale / 2;
};

const typeLike = (value: Value, dtype: 'float32' | 'uint8' | 'int8') =>
  tensorType(dtype, value.type?.kind === 'tensor' ? value.type.shape : undefined);

/** Parameters of grids, made once for every graph that reads them. */
class Parameters {
  readonly #insertion: ActivationInsertion;
  readonly #made = new Map<Graph, Map<Value, GridParameters>>();

  constructor(insertion: ActivationInsertion) {
    this.#insertion = insertion;
  }

  of(graph: Graph, root: Value): GridParameters {
    const known = this.#made.get(graph) ?? new Map<Value, GridParameters>();
    this.#made.set(graph, known);
    const found = known.get(root);
    if (found) return found;
    const made = this.#insertion.constants.parameters(graph, root.name, gridFor(this.#insertion, root));
    known.set(root, made);
    return made;
  }
}

const gridFor = (insertion: ActivationInsertion, root: Value): Grid => {
  const grid = insertion.grids.get(root);
  if (grid) return grid;
  throw internalError(`no grid for value ${root.name}`);
};

/** Puts QuantizeLinear and DequantizeLinear behind every planned value and takes away the clamps that become idle. */
export const insertActivations = (insertion: ActivationInsertion): void => {
  const { plan } = insertion;
  const parameters = new Parameters(insertion);
  for (const [value, root] of plan.grids) insertPair(insertion, value, root, parameters);
  const type = [...insertion.grids.values()][0]?.dtype ?? 'uint8';
  for (const value of plan.constants) quantizeConstant(insertion, value, type);
};

const insertPair = (insertion: ActivationInsertion, value: Value, root: Value, parameters: Parameters): void => {
  const { program, plan, names } = insertion;
  const graph = homeOf(program, value);
  const grid = gridFor(insertion, root);
  const { scale, zeroPoint } = parameters.of(graph, root);
  const clamp = plan.clamps.get(value);
  const bounds = clampBounds(clamp);
  const idle = clamp && bounds && gridClamps(grid, bounds) ? clamp : undefined;
  const codes = new Value(names.fresh(`${value.name}_q`), typeLike(value, grid.dtype));
  const source = idle?.inputs[0] ?? value;
  const quantize = new Node({ op: 'QuantizeLinear', inputs: [source, scale, zeroPoint], outputs: [codes] });
  const { numbers, node: dequantize } = dequantization(insertion, value, codes, { scale, zeroPoint });
  const readers = plan.integerMade.has(value) ? value.uses : integerReaders(plan, value);
  if (value.producer) graph.insertAfter(quantize, value.producer);
  else graph.insert(quantize, graph.nodes[0]);
  graph.insertAfter(dequantize, quantize);
  const elsewhere = readers.filter(({ node }) => node.graph !== graph);
  readInside(insertion, value, codes, elsewhere, (inner) => parameters.of(inner, root));
  if (plan.integerMade.has(value)) replaceAllUses(value, numbers, { graph, except: [quantize] });
  else for (const { node, index } of readers) if (node.graph === graph) node.setInput(index, numbers);
  if (idle) graph.remove(idle);
};

const dequantization = (
  insertion: ActivationInsertion,
  value: Value,
  codes: Value,
  { scale, zeroPoint }: GridParameters,
): { readonly numbers: Value; readonly node: Node } => {
  const numbers = new Value(insertion.names.fresh(`${value.name}_d`), typeLike(value, 'float32'));
  return { numbers, node: new Node({ op: 'DequantizeLinear', inputs: [codes, scale, zeroPoint], outputs: [numbers] }) };
};

/** Readers inside bodies get a DequantizeLinear of their body: runtimes do not fuse across graphs. */
const readInside = (
  insertion: ActivationInsertion,
  value: Value,
  codes: Value,
  readers: readonly Use[],
  parametersIn: (graph: Graph) => GridParameters,
): void => {
  const inside = new Map<Graph, Value>();
  for (const { node, index } of readers) {
    const { graph } = node;
    if (!graph) continue;
    let numbers = inside.get(graph);
    if (!numbers) {
      const made = dequantization(insertion, value, codes, parametersIn(graph));
      numbers = made.numbers;
      graph.insert(made.node, node);
      inside.set(graph, numbers);
    }
    node.setInput(index, numbers);
  }
};

/** A constant operand of integer arithmetic: its own grid over its own extremes. */
const quantizeConstant = (insertion: ActivationInsertion, value: Value, type: Grid['dtype']): void => {
  const { plan, names, constants } = insertion;
  const tensor = constantOf(value);
  if (!tensor) throw internalError(`value ${value.name} is no constant`);
  const numbers = readFloats(tensor);
  const grid = gridOf(extremesOf(numbers), codeRanges[type], 'asymmetric');
  const encode = (number: number): number => codeOf(number, grid);
  const codes = type === 'uint8' ? Uint8Array.from(numbers, encode) : Int8Array.from(numbers, encode);
  for (const { node, index } of integerReaders(plan, value)) {
    const { graph } = node;
    if (!graph) continue;
    const stored = graph.addInitializer(names.fresh(`${value.name}_q`), codesTensor(codes, tensor.shape));
    const { scale, zeroPoint } = constants.parameters(graph, value.name, grid);
    const read = new Value(names.fresh(`${value.name}_d`), tensorType('float32', tensor.shape));
    graph.insert(new Node({ op: 'DequantizeLinear', inputs: [stored, scale, zeroPoint], outputs: [read] }), node);
    node.setInput(index, read);
  }
};
