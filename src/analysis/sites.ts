import type { Graph, Node, Program, Value } from '../ir/graph.ts';
import type { MatrixLayout } from '../ir/matrix-layout.ts';
import { blockKey, type Role, roleKey, roles } from '../ir/model.ts';
import { elementCount, isStatic } from '../ir/shape.ts';
import { constantOf, graphsWithin } from '../ir/walk.ts';

/** Operators whose constant input is a weight that can be compressed. */
type SiteOp = 'MatMul' | 'Gemm' | 'Conv' | 'ConvTranspose' | 'Gather' | 'LSTM' | 'GRU';

/**
 * One weight product of a graph: y = W x per position, W seen as a matrix (rows = outputs, columns = inputs).
 * Sites are derived facts: look them up again after editing a graph.
 */
export interface Site {
  /** Unique and stable for a given graph: the node's name where it has a unique one, else the weight's name, numbered. */
  readonly name: string;
  readonly op: SiteOp;
  readonly node: Node;
  readonly graph: Graph;
  /** Index of the weight among the node's inputs. */
  readonly weightIndex: number;
  /** The constant itself; for a MatMul that reads it through a Transpose (a tied head), the Transpose's input. */
  readonly weight: Value;
  /** The activation input (for Gather: the indices). */
  readonly input: Value;
  /** The first output that is there (a recurrent layer may only give its last state). */
  readonly output: Value;
  readonly rows: number;
  readonly columns: number;
  /** How the matrix lies in the weight's shape. */
  readonly layout: MatrixLayout;
  /** Convolution groups; rows are split evenly among them, each sees its own channels. 1 otherwise. */
  readonly groups: number;
  readonly role: Role | undefined;
  readonly block: number | undefined;
}

interface WeightView {
  readonly op: SiteOp;
  readonly weightIndex: number;
  readonly inputIndex: number;
  readonly layout: MatrixLayout;
  readonly groups: number;
}

/** The constant matrix behind a Transpose node, when `value` is one. */
const transposedConstant = (value: Value | undefined): Value | undefined => {
  const transpose = value?.producer;
  if (transpose?.op !== 'Transpose' || transpose.domain !== '') return undefined;
  const permutation = transpose.ints('perm');
  if (permutation && permutation.join() !== '1,0') return undefined;
  const source = transpose.inputs[0];
  return source && constantOf(source)?.shape.length === 2 ? source : undefined;
};

/** How each operator holds its weight; undefined when this use is no weight product. */
const viewOf = (node: Node): readonly WeightView[] => {
  if (node.domain !== '') return [];
  const first = (layout: WeightView['layout'], op: SiteOp, groups = 1): WeightView => ({
    op,
    weightIndex: 1,
    inputIndex: 0,
    layout,
    groups,
  });
  switch (node.op) {
    case 'MatMul':
      return [first(transposedConstant(node.inputs[1]) ? 'rows-first' : 'rows-last', 'MatMul')];
    case 'Gemm':
      return node.int('transA', 0) === 0
        ? [first(node.int('transB', 0) === 1 ? 'rows-first' : 'rows-last', 'Gemm')]
        : [];
    case 'Conv':
      return [first('rows-first', 'Conv', node.int('group', 1))];
    case 'ConvTranspose':
      return node.int('group', 1) === 1 ? [first('rows-second', 'ConvTranspose')] : [];
    case 'Gather':
      return node.int('axis', 0) === 0
        ? [{ op: 'Gather', weightIndex: 0, inputIndex: 1, layout: 'rows-first', groups: 1 }]
        : [];
    case 'LSTM':
    case 'GRU':
      return [first('rows-first', node.op), { ...first('rows-first', node.op), weightIndex: 2 }];
    default:
      return [];
  }
};

/** Matrix size (rows, columns) of a weight of this shape, or undefined when it cannot be a weight of this operator. */
const matrixSize = (view: WeightView, shape: readonly number[]): [number, number] | undefined => {
  const [a = 0, b = 0] = shape;
  switch (view.op) {
    case 'MatMul':
    case 'Gemm':
      if (shape.length !== 2) return undefined;
      return view.layout === 'rows-last' ? [b, a] : [a, b];
    case 'Conv':
      return shape.length >= 3 ? [a, elementCount(shape.slice(1))] : undefined;
    case 'ConvTranspose':
      return shape.length >= 3 ? [b, a * elementCount(shape.slice(2))] : undefined;
    case 'Gather':
      return shape.length === 2 ? [a, b] : undefined;
    case 'LSTM':
    case 'GRU':
      return shape.length === 3 ? [a * b, shape[2] ?? 0] : undefined;
  }
};

const roleOf = (node: Node): Role | undefined => {
  const text = node.metadata.get(roleKey);
  return roles.find((role) => role === text);
};

const blockOf = (node: Node): number | undefined => {
  const text = node.metadata.get(blockKey);
  return text === undefined ? undefined : Number(text);
};

/** Floating-point weights smaller than this many elements are scalars, biases and tables of constants, not sites. */
const smallestSite = 16;

/**
 * Every weight product of a program in execution order, in the bodies of control-flow nodes too.
 * A Gather is a site when its constant is a floating-point matrix looked up by a computed index (an embedding).
 */
export const findSites = (program: Program): Site[] => {
  const found: Omit<Site, 'name'>[] = [];
  for (const graph of graphsWithin(program.graph))
    for (const node of graph.nodes)
      for (const view of viewOf(node)) {
        const operand = node.inputs[view.weightIndex];
        const weight = node.op === 'MatMul' ? (transposedConstant(operand) ?? operand) : operand;
        const input = node.inputs[view.inputIndex];
        const output = node.outputs.find((value) => value !== undefined);
        const tensor = constantOf(weight);
        if (!weight || !input || !output || !tensor || !isStatic(tensor.shape)) continue;
        if (!['float32', 'float16', 'bfloat16', 'float64'].includes(tensor.dtype)) continue;
        if (constantOf(input)) continue;
        const size = matrixSize(view, tensor.shape);
        if (!size || size[0] * size[1] < smallestSite) continue;
        found.push({
          op: view.op,
          node,
          graph,
          weightIndex: view.weightIndex,
          weight,
          input,
          output,
          rows: size[0],
          columns: size[1],
          layout: view.layout,
          groups: view.groups,
          role: roleOf(node),
          block: blockOf(node),
        });
      }
  return nameSites(found);
};

const nameSites = (found: readonly Omit<Site, 'name'>[]): Site[] => {
  const counts = new Map<string, number>();
  const wish = (site: Omit<Site, 'name'>): string => site.node.name || site.weight.name || site.output.name;
  for (const site of found) counts.set(wish(site), (counts.get(wish(site)) ?? 0) + 1);
  const used = new Map<string, number>();
  return found.map((site) => {
    const base = wish(site);
    if (counts.get(base) === 1) return { ...site, name: base };
    const number = used.get(base) ?? 0;
    used.set(base, number + 1);
    return { ...site, name: `${base}#${number}` };
  });
};
