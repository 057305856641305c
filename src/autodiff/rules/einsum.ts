import { CompressError } from '../../errors.ts';
import type { OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, type Node, textAttribute, type Value } from '../../ir/graph.ts';
import { rankOf, shapeOf, sumToShapeOf } from '../broadcast.ts';
import type { Rule } from '../rule.ts';
import { unitMatrix } from './resize.ts';

/** An equation with one letter an axis: terms of the operands, and of the result. */
interface Equation {
  readonly terms: readonly string[];
  readonly result: string;
  /** Letters that stand for an ellipsis: their axes may have length 1 in some operands. */
  readonly free: ReadonlySet<string>;
}

const alphabet = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'];

const rankNeeded = (node: Node, index: number): number => {
  const rank = rankOf(node.inputs[index]!);
  if (rank !== undefined) return rank;
  throw new CompressError({
    code: 'unsupported',
    message: `the gradient of Einsum needs the rank of ${node.inputs[index]!.name}, which is not known`,
    where: { node: node.name },
    hint: 'Give the model inputs with stated shapes.',
  });
};

/** Letters in the place of ellipses, and the result's term where it is not written: letters that occur once, in order. */
const readEquation = (node: Node): Equation => {
  const text = (node.text('equation') ?? '').replaceAll(' ', '');
  const [left = '', right] = text.split('->');
  const written = left.split(',');
  const used = new Set(text.replaceAll(/[^A-Za-z]/g, ''));
  const axes = written.map((term, index) =>
    term.includes('...') ? rankNeeded(node, index) - term.replace('...', '').length : 0,
  );
  const letters = alphabet.filter((letter) => !used.has(letter)).slice(0, Math.max(0, ...axes));
  const expand = (term: string, count: number): string =>
    term.replace('...', letters.slice(letters.length - count).join(''));
  const terms = written.map((term, index) => expand(term, axes[index]!));
  const once = [...used].filter((letter) => left.split(letter).length === 2).sort();
  const result = right === undefined ? letters.join('') + once.join('') : expand(right, letters.length);
  return { terms, result, free: new Set(letters) };
};

/** A term in which no letter stands twice, and the pairs of letters that must be equal. */
const withoutRepeats = (term: string, spare: string[]): { readonly term: string; readonly pairs: string[] } => {
  const pairs: string[] = [];
  const seen = new Set<string>();
  const distinct = [...term].map((letter) => {
    if (!seen.has(letter)) {
      seen.add(letter);
      return letter;
    }
    const fresh = spare.shift()!;
    pairs.push(`${letter}${fresh}`);
    return fresh;
  });
  return { term: distinct.join(''), pairs };
};

const lengthVector = (build: OperatorBuilder, value: Value, axis: number): Value =>
  build.call('Shape', [value], { start: intAttribute(axis), end: intAttribute(axis + 1) });

/**
 * Einsum: the gradient of an operand is an Einsum of the result's gradient with the other operands. Axes that only the
 * operand has are repeated; letters that stand twice in it put the gradient on the diagonal, by a unit matrix.
 */
export const einsumRule: Rule = (context) => {
  const { node, build, gradient } = context;
  const { terms, result, free } = readEquation(node);
  const spare = alphabet.filter((letter) => ![...terms, result].some((term) => term.includes(letter)));
  return terms.map((whole, index) => {
    if (!context.wants(index)) return undefined;
    const operand = context.input(index);
    const { term, pairs } = withoutRepeats(whole, [...spare]);
    const others = terms.filter((_, other) => other !== index);
    const units = pairs.map(([letter]) =>
      unitMatrix(build, lengthVector(build, operand, whole.indexOf(letter!)), operand),
    );
    const known = new Set([...result, ...others.join(''), ...pairs.join('')]);
    const kept = [...term].filter((letter) => known.has(letter)).join('');
    const inputs = [gradient, ...node.inputs.filter((_, other) => other !== index), ...units];
    const product = build.call('Einsum', inputs, {
      equation: textAttribute(`${[result, ...others, ...pairs].join(',')}->${kept}`),
    });
    const lost = [...term].flatMap((letter, axis) => (known.has(letter) ? [] : [axis]));
    const widened = (): Value =>
      build.call('Expand', [build.call('Unsqueeze', [product, build.integers(lost)]), build.call('Shape', [operand])]);
    const full = lost.length === 0 ? product : widened();
    const shape = shapeOf(operand);
    const mayBroadcast = [...whole].some((letter, axis) => free.has(letter) || shape?.[axis] === 1);
    return mayBroadcast ? sumToShapeOf(build, full, full, operand) : full;
  });
};
