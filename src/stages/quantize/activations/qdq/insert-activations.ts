import { internalError } from '../../../../errors.ts';
import type { NameSource } from '../../../../ir/edit/names.ts';
import { replaceAllUses } from '../../../../ir/edit/replace.ts';
import { type Graph, Node, type Program, type Use, Value } from '../../../../ir/graph.ts';
import { readFloats } from '../../../../ir/read.ts';
import { tensorType } from '../../../../ir/shape.ts';
import { constantOf, graphsWithin } from '../../../../ir/walk.ts';
import type { GridConstants } from '../constants.ts';
import { codeOf, endsOf, type Grid, gridOf } from '../grid.ts';
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

/** Scale and zero point of a group as constants. */
interface Parameters {
  readonly grid: Grid;
  readonly scale: Value;
  readonly zeroPoint: Value;
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

/** Puts QuantizeLinear and DequantizeLinear behind every planned value and takes away the clamps that become idle. */
export const insertActivations = (insertion: ActivationInsertion): void => {
  const { plan, constants } = insertion;
  const parameters = new Map<Value, Parameters>();
  const parametersOf = (root: Value): Parameters => {
    const found = parameters.get(root);
    if (found) return found;
    const grid = insertion.grids.get(root);
    if (!grid) throw internalError(`no grid for value ${root.name}`);
    const made = {
      grid,
      scale: constants.scale(root.name, grid),
      zeroPoint: constants.zeroPoint(grid.dtype, grid.zeroPoint),
    };
    parameters.set(root, made);
    return made;
  };
  for (const [value, root] of plan.grids) insertPair(insertion, value, parametersOf(root));
  const type = [...insertion.grids.values()][0]?.dtype ?? 'uint8';
  for (const value of plan.constants) quantizeConstant(insertion, value, type);
};

const insertPair = (insertion: ActivationInsertion, value: Value, parameters: Parameters): void => {
  const { program, plan, names } = insertion;
  const { grid, scale, zeroPoint } = parameters;
  const graph = homeOf(program, value);
  const readers = plan.integerMade.has(value) ? value.uses : integerReaders(plan, value);
  const clamp = plan.clamps.get(value);
  const bounds = clampBounds(clamp);
  const idle = clamp && bounds && gridClamps(grid, bounds) ? clamp : undefined;
  const source = idle?.inputs[0] ?? value;
  const codes = new Value(names.fresh(`${value.name}_q`), typeLike(value, grid.dtype));
  const numbers = new Value(names.fresh(`${value.name}_d`), typeLike(value, 'float32'));
  const quantize = new Node({ op: 'QuantizeLinear', inputs: [source, scale, zeroPoint], outputs: [codes] });
  const dequantize = new Node({ op: 'DequantizeLinear', inputs: [codes, scale, zeroPoint], outputs: [numbers] });
  if (value.producer) graph.insertAfter(quantize, value.producer);
  else graph.insert(quantize, graph.nodes[0]);
  graph.insertAfter(dequantize, quantize);
  if (plan.integerMade.has(value)) replaceAllUses(value, numbers, { graph, except: [quantize] });
  else for (const { node, index } of readers) node.setInput(index, numbers);
  if (idle) graph.remove(idle);
};

/** A constant operand of integer arithmetic: its own grid over its own extremes. */
const quantizeConstant = (insertion: ActivationInsertion, value: Value, type: Grid['dtype']): void => {
  const { program, plan, names, constants } = insertion;
  const tensor = constantOf(value);
  if (!tensor) throw internalError(`value ${value.name} is no constant`);
  const numbers = readFloats(tensor);
  const codes =
    type === 'uint8' ? { dtype: type, lowest: 0, highest: 255 } : { dtype: type, lowest: -128, highest: 127 };
  const grid = gridOf(extremesOf(numbers), codes, 'asymmetric');
  const encode = (number: number): number => codeOf(number, grid);
  const array = type === 'uint8' ? Uint8Array.from(numbers, encode) : Int8Array.from(numbers, encode);
  const stored = program.graph.addInitializer(names.fresh(`${value.name}_q`), codesTensor(array, tensor.shape));
  const scale = constants.scale(value.name, grid);
  const zeroPoint = constants.zeroPoint(grid.dtype, grid.zeroPoint);
  for (const { node, index } of integerReaders(plan, value)) {
    const read = new Value(names.fresh(`${value.name}_d`), tensorType('float32', tensor.shape));
    const dequantize = new Node({ op: 'DequantizeLinear', inputs: [stored, scale, zeroPoint], outputs: [read] });
    node.graph?.insert(dequantize, node);
    node.setInput(index, read);
  }
};
