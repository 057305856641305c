import type { OperatorBuilder } from '../../ir/build.ts';
import { dtypeOf } from '../../ir/build.ts';
import { intAttribute, type Value } from '../../ir/graph.ts';

/** What one attention computes with: queries, keys and values with their heads as an axis. */
export interface Attend {
  /** (batch, heads, queries, size) */
  readonly query: Value;
  /** (batch, key heads, keys, size), and the same with the size of values. */
  readonly key: Value;
  readonly value: Value;
  readonly heads: number;
  readonly keyHeads: number;
  /** Scores are multiplied by it; 0 or undefined: 1/√size. */
  readonly scale: number | undefined;
  /** Scores are bent to cap · tanh(score / cap); 0 or undefined: not at all. */
  readonly softcap?: number | undefined;
  /** Added to the bent scores; broadcasts to (batch, heads, queries, keys). */
  readonly biases: readonly Value[];
}

/** Scores as they were made, bent and biased, the weights and the result. */
export interface Attended {
  readonly raw: Value;
  readonly bent: Value;
  readonly biased: Value;
  readonly weights: Value;
  /** (batch, heads, queries, size) */
  readonly context: Value;
}

const lengthOf = (build: OperatorBuilder, value: Value, axis: number): Value =>
  build.call('Shape', [value], {
    start: intAttribute(axis),
    ...(axis === -1 ? {} : { end: intAttribute(axis + 1) }),
  });

/** Length of a value along an axis, as an int64 scalar. */
export const scalarLength = (build: OperatorBuilder, value: Value, axis: number): Value =>
  build.call('Squeeze', [lengthOf(build, value, axis), build.integers([0])]);

/** (batch, sequence, heads·size) → (batch, heads, sequence, size) */
export const splitHeads = (build: OperatorBuilder, x: Value, heads: number): Value =>
  build.transpose(build.reshape(x, build.integers([0, 0, heads, -1])), [0, 2, 1, 3]);

/** (batch, heads, sequence, size) → (batch, sequence, heads·size) */
export const mergeHeads = (build: OperatorBuilder, x: Value): Value =>
  build.reshape(build.transpose(x, [0, 2, 1, 3]), build.integers([0, 0, -1]));

/** Queries multiplied by the scale. */
const scaled = (build: OperatorBuilder, query: Value, scale: number | undefined): Value => {
  if (scale) return build.scale(query, scale);
  const size = build.castLike(lengthOf(build, query, -1), query);
  return build.divide(query, build.call('Sqrt', [size]));
};

/**
 * softmax(scale · Q Kᵀ + bias) V (Vaswani et al. 2017), with heads that share keys (Ainslie et al. 2023): the query
 * heads of a key head are rows of one product.
 */
export const attend = (build: OperatorBuilder, fields: Attend): Attended => {
  const { query, key, value, heads, keyHeads, biases, softcap } = fields;
  const grouped = heads !== keyHeads;
  /** (batch, heads, queries, …) ⇄ (batch, key heads, heads a key head · queries, …) */
  const gather = (x: Value): Value =>
    grouped
      ? build.reshape(
          x,
          build.call('Concat', [build.integers([0, keyHeads, -1]), lengthOf(build, x, -1)], { axis: intAttribute(0) }),
        )
      : x;
  const spread = (x: Value): Value =>
    grouped
      ? build.reshape(
          x,
          build.call('Concat', [build.integers([0, heads]), lengthOf(build, query, 2), lengthOf(build, x, -1)], {
            axis: intAttribute(0),
          }),
        )
      : x;
  const product = build.call('MatMul', [
    gather(scaled(build, query, fields.scale)),
    build.transpose(key, [0, 1, 3, 2]),
  ]);
  const raw = spread(product);
  const bent = softcap
    ? build.scale(build.call('Tanh', [build.divide(raw, build.scalarLike(softcap, raw))]), softcap)
    : raw;
  const biased = biases.reduce((sum, bias) => build.add(sum, bias), bent);
  const weights = build.call('Softmax', [biased], { axis: intAttribute(-1) });
  const context = spread(build.call('MatMul', [gather(weights), value]));
  return { raw, bent, biased, weights, context };
};

/** The number that stands for minus infinity in scores of this element type. */
const lowest = (build: OperatorBuilder, like: Value): Value =>
  build.scalarLike(dtypeOf(like) === 'float16' ? -65504 : -3.4028234663852886e38, like);

/** 0 where a truth value holds, and the lowest number elsewhere. */
export const biasOfMask = (build: OperatorBuilder, seen: Value, like: Value): Value => {
  const zero = build.scalarLike(0, like);
  const bias = build.call('Where', [seen, zero, lowest(build, like)]);
  return build.typed(bias, undefined);
};

/** 0, 1, …, as an int64 vector of a computed length. */
export const countTo = (build: OperatorBuilder, length: Value): Value =>
  build.call('Range', [build.scalar(0, 'int64'), length, build.scalar(1, 'int64')]);

/**
 * (queries, keys): whether a query may see a key, when queries stand at positions `offset`, `offset` + 1, … of the keys
 * and see what is not behind them, and at most `window` positions.
 */
export const causalMask = (
  build: OperatorBuilder,
  query: Value,
  key: Value,
  offset: Value | undefined,
  window?: number,
): Value => {
  const rows = build.call('Unsqueeze', [countTo(build, scalarLength(build, query, 2)), build.integers([1])]);
  const positions = offset ? build.add(rows, offset) : rows;
  const columns = countTo(build, scalarLength(build, key, 2));
  const past = build.call('LessOrEqual', [columns, positions]);
  if (window === undefined || window < 0) return past;
  const near = build.call('Less', [build.subtract(positions, columns), build.scalar(window, 'int64')]);
  return build.call('And', [past, near]);
};
