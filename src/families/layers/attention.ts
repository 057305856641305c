import { floatAttribute, intAttribute, type Value } from '../../ir/graph.ts';
import type { GraphBuilder } from '../builder.ts';

export interface HeadSizes {
  readonly heads: number;
  /** Heads of keys and values; each serves `heads / keyValueHeads` query heads. */
  readonly keyValueHeads: number;
  readonly headSize: number;
}

export interface AttendFields extends HeadSizes {
  /** Scores are multiplied by this. */
  readonly scale: number;
  /** Scores are bent to cap · tanh(score / cap). */
  readonly softcap?: number | undefined;
  /** Added to scores, (queries, keys) or (batch, 1, queries, keys); a dimension may be 1. */
  readonly bias?: Value | undefined;
  /** Whether `bias` has a batch dimension. */
  readonly biasRank?: 2 | 4;
}

/** (batch, sequence, heads · headSize) → (batch, heads, sequence, headSize). `each` is applied to every head's channels. */
export const splitHeads = (
  b: GraphBuilder,
  x: Value,
  heads: number,
  headSize: number,
  each: (value: Value) => Value = (value) => value,
): Value => b.transpose(each(b.reshape(x, [0, 0, heads, headSize])), [0, 2, 1, 3]);

/** (batch, heads, sequence, headSize) → (batch, sequence, heads · headSize). */
export const mergeHeads = (b: GraphBuilder, x: Value, heads: number, headSize: number): Value =>
  b.reshape(b.transpose(x, [0, 2, 1, 3]), [0, 0, heads * headSize]);

/**
 * softmax(scale · Q Kᵀ + bias) V (Vaswani et al. 2017) with grouped heads (Ainslie et al. 2023): query heads that share
 * keys are a dimension of their own, so that keys and values are never copied.
 * @param query (batch, heads, queries, headSize)
 * @param key and value (batch, keyValueHeads, keys, headSize)
 * @returns (batch, queries, heads · headSize)
 */
export const attend = (b: GraphBuilder, query: Value, key: Value, value: Value, fields: AttendFields): Value => {
  const { heads, keyValueHeads, headSize, scale, softcap, bias } = fields;
  const grouped = heads !== keyValueHeads;
  const shared = (x: Value): Value => (grouped ? b.unsqueeze(x, [2]) : x);
  const q = grouped ? b.reshape(query, [0, keyValueHeads, heads / keyValueHeads, -1, headSize]) : query;
  const turned = b.transpose(shared(key), grouped ? [0, 1, 2, 4, 3] : [0, 1, 3, 2]);
  const raw = b.op('MatMul', [b.multiply(q, b.float(scale)), turned]);
  const bent =
    softcap === undefined ? raw : b.multiply(b.op('Tanh', [b.op('Div', [raw, b.float(softcap)])]), b.float(softcap));
  const placed = bias && grouped && fields.biasRank === 4 ? b.unsqueeze(bias, [1]) : bias;
  const weights = b.softmax(placed ? b.add(bent, placed) : bent);
  const context = b.op('MatMul', [weights, shared(value)]);
  const ungrouped = grouped ? b.reshape(context, [0, heads, -1, headSize]) : context;
  return mergeHeads(b, ungrouped, heads, headSize);
};

/** onnxruntime's attention of encoders. @param mask (batch, keys), int32, 1 where a position may be seen. */
export const fusedEncoderAttention = (
  b: GraphBuilder,
  query: Value,
  key: Value,
  value: Value,
  { heads, scale, mask }: { readonly heads: number; readonly scale: number; readonly mask: Value | undefined },
): Value =>
  b.op('MultiHeadAttention', [query, key, value, undefined, mask], {
    domain: 'com.microsoft',
    attributes: { num_heads: intAttribute(heads), scale: floatAttribute(scale) },
  });
