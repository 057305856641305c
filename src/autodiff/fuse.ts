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
const mean = (of: Pattern): Pattern =>
  node('ReduceMean', [of, constant('axes')], { accepts: (found) => found.int('keepdims', 1) === 1 });

const squares = (x: () => Pattern): Pattern[] => [
  node('Pow', [x(), scalarConstant('exponent')]),
  node('Mul', [x(), x()]),
];

/** x / √(mean(x²) + ε) in the ways that it is written. */
const standardised = (x: () => Pattern): Pattern[] =>
  squares(x).flatMap((square) => {
    const root = node('Sqrt', [node('Add', [mean(square), scalarConstant('epsilon')])]);
    return [
      node('Div', [x(), root]),
      node('Mul', [x(), node('Reciprocal', [root])]),
      node('Mul', [x(), node('Div', [scalarConstant('one'), root])]),
    ];
  });

const centred = (): Pattern => node('Sub', [any('x'), mean(any('x'))]);

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
  const axes = constantOf(match.values.get('axes'));
  const width = shapeOf(x)?.at(-1);
  const along = (name: string): boolean => {
    const value = match.values.get(name);
    const shape = value && shapeOf(value);
    return !value || (shape?.length === 1 && typeof width === 'number' && shape[0] === width);
  };
  if (rank === undefined || !axes || x.type?.kind !== 'tensor' || x.type.dtype !== 'float32') return false;
  const [axis, ...others] = readInts(axes);
  return (
    others.length === 0 &&
    (axis === -1 || axis === rank - 1) &&
    isNumber(match, 'exponent', 2) &&
    isNumber(match, 'one', 1) &&
    along('gain') &&
    along('shift')
  );
};

/** The part of a norm that ends in this node, as the one operator that computes it. */
const fuseAt = (last: Node): boolean => {
  const patterns: readonly (readonly [Pattern, readonly string[], string])[] = [
    ...layerNorms.map((pattern) => [pattern, ['x', 'gain', 'shift'], 'LayerNormalization'] as const),
    ...rmsNorms.map((pattern) => [pattern, ['x', 'gain'], 'SimplifiedLayerNormalization'] as const),
  ];
  for (const [pattern, inputs, op] of patterns) {
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
  for (const found of [...graph.nodes])
    if (found.graph === graph && (found.op === 'Add' || found.op === 'Mul') && fuseAt(found)) count++;
  return count;
};
