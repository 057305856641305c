import type { Node, Value } from '../../../ir/graph.ts';
import { readScalar } from '../../../ir/read.ts';
import { constantOf } from '../../../ir/walk.ts';

/** A root-mean-square normalisation of a stream: x / sqrt(mean(x²) + ε), with gains behind it. */
export interface RootMeanSquare {
  readonly input: Value;
  /** The normalised stream, before gains. */
  readonly output: Value;
  /** Nodes that read `input` for it. */
  readonly readers: ReadonlySet<Node>;
  readonly epsilon: number;
  /** The node that holds ε, and which of its inputs that is. */
  readonly epsilonAt: { readonly node: Node; readonly index: number };
  /** Multiplication by constants of the stream's width, if there is one. */
  readonly gain: { readonly node: Node; readonly value: Value } | undefined;
}

const isStandard = (node: Node | undefined, ...ops: string[]): node is Node =>
  node !== undefined && node.domain === '' && ops.includes(node.op);

/** mean(x²) over the last axis, by Pow or by a product with itself. */
const meanOfSquares = (value: Value | undefined, x: Value): readonly Node[] | undefined => {
  const mean = value?.producer;
  if (!isStandard(mean, 'ReduceMean') || mean.int('keepdims', 1) !== 1) return undefined;
  const square = mean.inputs[0]?.producer;
  const power = square && constantOf(square.inputs[1]);
  if (isStandard(square, 'Pow') && square.inputs[0] === x && power && readScalar(power) === 2) return [square];
  return isStandard(square, 'Mul') && square.inputs[0] === x && square.inputs[1] === x ? [square] : undefined;
};

const gainBehind = (output: Value): RootMeanSquare['gain'] => {
  const [use, ...others] = output.uses;
  if (!use || others.length > 0 || !isStandard(use.node, 'Mul')) return undefined;
  const value = use.node.inputs[1 - use.index];
  return value && constantOf(value)?.shape.length === 1 ? { node: use.node, value } : undefined;
};

/** The normalisations of a stream that are written in plain operators. */
export const rootMeanSquaresOf = (x: Value): RootMeanSquare[] =>
  x.uses.flatMap(({ node, index }) => {
    if (!isStandard(node, 'Div') || index !== 0) return [];
    const root = node.inputs[1]?.producer;
    const sum = isStandard(root, 'Sqrt') ? root.inputs[0]?.producer : undefined;
    if (!isStandard(sum, 'Add')) return [];
    const at = constantOf(sum.inputs[1]) ? 1 : 0;
    const epsilon = constantOf(sum.inputs[at]);
    const squares = meanOfSquares(sum.inputs[1 - at], x);
    const output = node.outputs[0];
    if (!epsilon || !squares || !output) return [];
    return [
      {
        input: x,
        output,
        readers: new Set([node, ...squares]),
        epsilon: readScalar(epsilon),
        epsilonAt: { node: sum, index: at },
        gain: gainBehind(output),
      },
    ];
  });
