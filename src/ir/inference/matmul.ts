import { multiplyDims } from '../dimension.ts';
import { type Dim, formatShape, type Shape } from '../shape.ts';
import type { Call, Rule, RuleTable } from './call.ts';
import { tensorFact } from './fact.ts';
import { broadcastShapes, unifyDim } from './shapes.ts';

/** Shape of the numpy product: batch dimensions broadcast, rank-1 operands as a row on the left, a column on the right. */
export const productShape = (call: Call, a: Shape | undefined, b: Shape | undefined): Shape | undefined => {
  if (!a || !b) return undefined;
  if (a.length === 0 || b.length === 0) call.problem('an operand of a matrix product is a scalar');
  const left = a.length === 1 ? [1, ...a] : a;
  const right = b.length === 1 ? [...b, 1] : b;
  unifyDim(call, left.at(-1), right.at(-2), `the inner dimensions of ${formatShape(a)} and ${formatShape(b)}`);
  const batch = broadcastShapes(call, [left.slice(0, -2), right.slice(0, -2)]);
  const rows = a.length === 1 ? [] : [left.at(-2) ?? null];
  const columns = b.length === 1 ? [] : [right.at(-1) ?? null];
  return batch && [...batch, ...rows, ...columns];
};

const matmul: Rule = (call) => {
  const [a, b] = [call.dtype(0), call.dtype(1)];
  if (a && b && a !== b) call.problem(`the operands have element types ${a} and ${b}`);
  return [tensorFact(a ?? b, productShape(call, call.shape(0), call.shape(1)))];
};

const gemm: Rule = (call) => {
  const a = call.shapeOfRank(0, 2);
  const b = call.shapeOfRank(1, 2);
  const [rows, inner] = call.node.int('transA', 0) === 0 ? [a?.[0], a?.[1]] : [a?.[1], a?.[0]];
  const [depth, columns] = call.node.int('transB', 0) === 0 ? [b?.[0], b?.[1]] : [b?.[1], b?.[0]];
  unifyDim(call, inner, depth, `the inner dimensions of ${formatShape(a)} and ${formatShape(b)}`);
  const shape = [rows ?? null, columns ?? null];
  const bias = call.shape(2);
  if (bias) broadcastShapes(call, [shape, bias]);
  return [tensorFact(call.dtype(0) ?? call.dtype(1), shape)];
};

interface EinsumTerms {
  readonly inputs: readonly string[];
  readonly output: string | undefined;
}

const parseEquation = (equation: string): EinsumTerms => {
  const [left = '', right] = equation.replaceAll(/\s/g, '').split('->');
  return { inputs: left.split(','), output: right };
};

/** Letters in order, the ellipsis as '.'. */
const letters = (term: string): string[] => [...term.replace('...', '.')];

const implicitOutput = (inputs: readonly string[]): string => {
  const counts = new Map<string, number>();
  for (const term of inputs) for (const letter of letters(term)) counts.set(letter, (counts.get(letter) ?? 0) + 1);
  const once = [...counts].filter(([letter, count]) => letter !== '.' && count === 1).map(([letter]) => letter);
  return `${counts.has('.') ? '...' : ''}${once.sort().join('')}`;
};

const einsum: Rule = (call) => {
  const { inputs, output } = parseEquation(call.node.text('equation') ?? '');
  if (inputs.length !== call.node.inputs.length)
    call.problem(`the equation has ${inputs.length} terms for ${call.node.inputs.length} inputs`);
  const dims = new Map<string, Dim>();
  const ellipses: Shape[] = [];
  for (const [index, term] of inputs.entries()) {
    const shape = call.shape(index);
    if (!shape) return [tensorFact(call.dtype(0))];
    const names = letters(term);
    const hidden = shape.length - names.filter((name) => name !== '.').length;
    if (hidden < 0 || (hidden > 0 && !names.includes('.')))
      call.problem(`term ${term} does not fit ${formatShape(shape)}`);
    let axis = 0;
    for (const name of names) {
      if (name === '.') {
        ellipses.push(shape.slice(axis, axis + hidden));
        axis += hidden;
      } else {
        const known = dims.get(name);
        const dim = shape[axis++]!;
        dims.set(
          name,
          known === 1 ? dim : dim === 1 && known !== undefined ? known : unifyDim(call, known, dim, `index ${name}`),
        );
      }
    }
  }
  const batch = broadcastShapes(call, ellipses);
  const target = letters(output ?? implicitOutput(inputs));
  if (!batch) return [tensorFact(call.dtype(0))];
  return [
    tensorFact(
      call.dtype(0),
      target.flatMap((name) => (name === '.' ? batch : [dims.get(name) ?? null])),
    ),
  ];
};

const determinant: Rule = (call) => [tensorFact(call.dtype(0), call.shape(0)?.slice(0, -2))];

/** A product whose right operand is given by its size: y of shape [...a without its last, columns]. */
export const lastDimReplaced = (call: Call, inner: Dim, columns: Dim): Shape | undefined => {
  const a = call.shape(0);
  if (!a) return undefined;
  unifyDim(call, a.at(-1), inner, 'the last dimension of the input and the rows of the weight');
  return [...a.slice(0, -1), columns];
};

/** Elements of a shape before `axis` and from it on, multiplied. */
export const flattenedShape = (shape: Shape, axis: number): Shape => [
  shape.slice(0, axis).reduce<Dim>(multiplyDims, 1),
  shape.slice(axis).reduce<Dim>(multiplyDims, 1),
];

export const matmulRules: RuleTable = { MatMul: matmul, Gemm: gemm, Einsum: einsum, Det: determinant };
