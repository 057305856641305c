import type { Value } from '../../ir/graph.ts';
import type { GraphBuilder } from '../builder.ts';

/** What the layers of a decoder need to know about the tokens: their places, who sees whom, and the earlier ones. */
export interface Sequence {
  readonly ids: Value;
  /** Positions, int64: (sequence) where all rows have the same, else (batch, sequence). */
  readonly positions: Value;
  readonly rows: 'same' | 'differ';
  /** Positions seen so far, earlier ones included: rank 0, int64. */
  readonly totalLength: Value;
  /**
   * What is added to attention scores: 0 where a position may be seen, the type's lowest number where not;
   * (sequence, total) or (batch, 1, sequence, total). With a window, only that many last positions are seen.
   * Make it before the blocks: it belongs to none of them.
   */
  bias(window: number | undefined): Value;
  /** Keys and values of a layer with the earlier ones in front: (batch, heads, total, headSize). */
  extend(layer: number, key: Value, value: Value): { readonly key: Value; readonly value: Value };
  /** Earlier keys and values, where the layout has any. */
  past(layer: number): { readonly key: Value; readonly value: Value } | undefined;
  /** Makes a layer's keys and values outputs of the graph, where the layout wants them. */
  present(layer: number, key: Value, value: Value): void;
}

export interface CacheSize {
  readonly layers: number;
  /** Key-value heads and channels of each. */
  readonly heads: number;
  readonly headSize: number;
}

/** Added to scores of positions that must not be seen; finite, so that a row that sees nothing gives no NaN. */
export const lowest = { float32: -3.4028234663852886e38, float16: -65504 } as const;

const batch = 'batch_size';
const length = 'sequence_length';
const pastLength = 'past_sequence_length';
const totalLength = `${pastLength}+${length}`;

/** 0 where `allowed`, the lowest number elsewhere. */
const biasOf = (b: GraphBuilder, allowed: Value): Value =>
  b.op('Where', [allowed, b.float(0), b.float(lowest[b.options.dtype])]);

/** Who sees whom by place alone: (queries, keys), boolean. */
const causal = (b: GraphBuilder, queries: Value, keys: Value, window: number | undefined): Value => {
  const column = b.unsqueeze(queries, [1]);
  const visible = b.op('GreaterOrEqual', [column, keys]);
  if (window === undefined) return visible;
  return b.op('And', [visible, b.op('Less', [b.op('Sub', [column, keys]), b.int(window)])]);
};

const once = (make: (window: number | undefined) => Value): ((window: number | undefined) => Value) => {
  const made = new Map<number | undefined, Value>();
  return (window) => {
    const value = made.get(window) ?? make(window);
    made.set(window, value);
    return value;
  };
};

const scoringSequence = (b: GraphBuilder): Sequence => {
  const ids = b.input('input_ids', 'int64', [batch, length]);
  const total = b.dimension(ids, 1);
  const positions = b.range(b.int(0), total);
  return {
    ids,
    positions,
    rows: 'same',
    totalLength: total,
    bias: once((window) => b.within('mask', () => biasOf(b, causal(b, positions, positions, window)))),
    extend: (_layer, key, value) => ({ key, value }),
    past: () => undefined,
    present: () => {},
  };
};

const generationSequence = (b: GraphBuilder, size: CacheSize): Sequence => {
  const { dtype } = b.options;
  const ids = b.input('input_ids', 'int64', [batch, length]);
  const mask = b.input('attention_mask', 'int64', [batch, totalLength]);
  const positions = b.input('position_ids', 'int64', [batch, length]);
  const pasts = Array.from({ length: size.layers }, (_, layer) => {
    const shape = [batch, size.heads, pastLength, size.headSize];
    return {
      key: b.input(`past_key_values.${layer}.key`, dtype, shape),
      value: b.input(`past_key_values.${layer}.value`, dtype, shape),
    };
  });
  const [total, places, queries, real] = b.within('mask', () => {
    const all = b.dimension(mask, 1);
    const keys = b.range(b.int(0), all);
    const first = b.op('Sub', [all, b.dimension(ids, 1)]);
    return [all, keys, b.range(first, all), b.unsqueeze(b.cast(mask, 'bool'), [1, 2])] as const;
  });
  return {
    ids,
    positions,
    rows: 'differ',
    totalLength: total,
    bias: once((window) => b.within('mask', () => biasOf(b, b.op('And', [causal(b, queries, places, window), real])))),
    extend: (layer, key, value) => {
      const past = pasts[layer]!;
      return { key: b.concat([past.key, key], 2), value: b.concat([past.value, value], 2) };
    },
    past: (layer) => pasts[layer],
    present: (layer, key, value) => {
      const shape = [batch, size.heads, totalLength, size.headSize];
      b.output(key, `present.${layer}.key`, dtype, shape);
      b.output(value, `present.${layer}.value`, dtype, shape);
    },
  };
};

/** The inputs of a decoder in the layout that the builder is asked for. */
export const sequenceOf = (b: GraphBuilder, size: CacheSize): Sequence =>
  b.options.layout === 'scoring' ? scoringSequence(b) : generationSequence(b, size);

/** Shape of a decoder's output with one row per token. */
export const tokenShape = (width: number): readonly (string | number)[] => [batch, length, width];
