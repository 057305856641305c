import {
  any,
  constant,
  type Match,
  matchPattern,
  node,
  type Pattern,
  replaceMatch,
  scalarConstant,
} from '../ir/edit/pattern.ts';
import { floatAttribute, type Graph, intAttribute, type Node } from '../ir/graph.ts';
import { readInts } from '../ir/read.ts';
import { constantOf } from '../ir/walk.ts';
import { rankOf, shapeOf } from './broadcast.ts';

/** Where a mean is taken: over the last axis, which stays. */
const mean = (of: Pattern, axes: string): Pattern =>
  node('ReduceMean', [of, constant(axes)], { accepts: (found) => found.int('keepdims', 1) === 1 });

const squares = (x: () => Pattern): Pattern[] => [
  node('Pow', [x(), scalarConstant('exponent')]),
  node('Mul', [x(), x()]),
];

/** x / √(mean(x²) + ε) in the ways that it is written. */
const standardised = (x: () => Pattern): Pattern[] =>
  squares(x).flatMap((square) => {
    const root = node('Sqrt', [node('Add', [mean(square, 'axes'), scalarConstant('epsilon')])]);
    return [
      node('Div', [x(), root]),
      node('Mul', [x(), node('Reciprocal', [root])]),
      node('Mul', [x(), node('Div', [scalarConstant('one'), root])]),
    ];
  });

const centred = (): Pattern => node('Sub', [any('x'), mean(any('x'), 'centre axes')]);

const layerNorms = standardised(centred).map((normal) =>
  node('Add', [node('Mul', [normal, any('gain')]), any('shift')]),
);
const rmsNorms = standardised(() => any('x')).map((normal) => node('Mul', [normal, any('gain')]));

const isNumber = (match: Match, name: string, wanted: number): boolean =>
  !match.values.has(name) || match.scalar(name) === wanted;

/** Whether the match is over the last axis of single-precision numbers, with parameters that lie along it. */
const fits = (match: Match): boolean => {
  const x = match.values.get('x')!;
  const rank = rankOf(x);
  const width = shapeOf(x)?.at(-1);
  if (rank === undefined || x.type?.kind !== 'tensor' || x.type.dtype !== 'float32') return false;
  const isLast = (name: string): boolean => {
    const axes = constantOf(match.values.get(name));
    const [axis, ...others] = axes ? readInts(axes) : [-1];
    return others.length === 0 && (axis === -1 || axis === rank - 1);
  };
  const along = (name: string): boolean => {
    const value = match.values.get(name);
    const shape = value && shapeOf(value);
    return !value || (shape?.length === 1 && typeof width === 'number' && shape[0] === width);
  };
  return (
    isLast('axes') &&
    isLast('centre axes') &&
    isNumber(match, 'exponent', 2) &&
    isNumber(match, 'one', 1) &&
    along('gain') &&
    along('shift')
  );
};

/** What a norm becomes: the patterns of it, its parameters in the order of the operator's inputs, the operator. */
interface Norm {
  readonly last: 'Add' | 'Mul';
  readonly patterns: readonly Pattern[];
  readonly inputs: readonly string[];
  readonly op: string;
}

/** Layer normalization first: what stands in the middle of it looks like the other. */
const norms: readonly Norm[] = [
  { last: 'Add', patterns: layerNorms, inputs: ['x', 'gain', 'shift'], op: 'LayerNormalization' },
  { last: 'Mul', patterns: rmsNorms, inputs: ['x', 'gain'], op: 'SimplifiedLayerNormalization' },
];

/** Puts one operator in the place of the norm that ends in this node. */
const fuseAt = (last: Node, { patterns, inputs, op }: Norm): boolean => {
  for (const pattern of patterns) {
    const match = matchPattern(pattern, last);
    if (!match || !fits(match)) continue;
    const made = replaceMatch(match, {
      op,
      name: last.name,
      inputs: inputs.map((name) => match.values.get(name)),
      attributes: { axis: intAttribute(-1), epsilon: floatAttribute(match.scalar('epsilon')) },
    });
    for (const [key, text] of last.metadata) made.metadata.set(key, text);
    return true;
  }
  return false;
};

/**
 * Puts one operator in the place of norms that are written out, so that the way back takes few passes and uses what the
 * operator keeps of the way forward. Types must be known. Outputs stay equal up to rounding.
 * @returns how many were found.
 */
export const fuseNorms = (graph: Graph): number => {
  let count = 0;
  for (const norm of norms)
    for (const found of [...graph.nodes])
      if (found.graph === graph && found.op === norm.last && fuseAt(found, norm)) count++;
  return count;
};
