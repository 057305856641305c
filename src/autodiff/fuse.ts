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
import { type Attribute, floatAttribute, intAttribute, type Node, type Program } from '../ir/graph.ts';
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

/** What is put together: the patterns of it, the values that the operator reads, in order, the operator. */
interface Fusion {
  readonly last: 'Add' | 'Mul';
  readonly patterns: readonly Pattern[];
  readonly inputs: readonly string[];
  readonly op: string;
  readonly domain?: string;
  attributes(match: Match): Readonly<Record<string, Attribute>>;
}

const normAttributes = (match: Match): Readonly<Record<string, Attribute>> => ({
  axis: intAttribute(-1),
  epsilon: floatAttribute(match.scalar('epsilon')),
});

const microsoft = 'com.microsoft';

/** Layer normalization before the other norm: what stands in the middle of it looks like that one. */
const fusions: readonly Fusion[] = [
  {
    last: 'Add',
    patterns: layerNorms,
    inputs: ['x', 'gain', 'shift'],
    op: 'LayerNormalization',
    attributes: normAttributes,
  },
  {
    last: 'Mul',
    patterns: rmsNorms,
    inputs: ['x', 'gain'],
    op: 'SimplifiedLayerNormalization',
    attributes: normAttributes,
  },
  {
    last: 'Mul',
    patterns: [node('Mul', [any('x'), node('Sigmoid', [any('x')])])],
    inputs: ['x'],
    op: 'QuickGelu',
    domain: microsoft,
    attributes: () => ({ alpha: floatAttribute(1) }),
  },
];

/** Puts one operator in the place of what ends in this node. */
const fuseAt = (last: Node, { patterns, inputs, op, domain, attributes }: Fusion): boolean => {
  for (const pattern of patterns) {
    const match = matchPattern(pattern, last);
    if (!match || !fits(match)) continue;
    const made = replaceMatch(match, {
      op,
      domain: domain ?? '',
      name: last.name,
      inputs: inputs.map((name) => match.values.get(name)),
      attributes: attributes(match),
    });
    for (const [key, text] of last.metadata) made.metadata.set(key, text);
    return true;
  }
  return false;
};

/**
 * Puts one operator in the place of norms and of x·σ(x) that are written out, so that the way back takes few passes,
 * uses what a norm keeps of the way forward, and keeps nothing between of an activation. Types must be known. Outputs
 * stay equal up to rounding; no value that is left is another one than before.
 * @returns how many were found.
 */
export const fuseOperators = ({ graph, opsets }: Program): number => {
  let count = 0;
  for (const fusion of fusions)
    for (const found of [...graph.nodes])
      if (found.graph === graph && found.op === fusion.last && fuseAt(found, fusion)) {
        count++;
        if (fusion.domain === microsoft && !opsets.has(microsoft)) opsets.set(microsoft, 1);
      }
  return count;
};
