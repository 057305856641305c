import type { Value } from '../../ir/graph.ts';
import type { GraphBuilder } from '../builder.ts';
import { attend, fusedEncoderAttention, splitHeads } from './attention.ts';
import { linear } from './linear.ts';

/** Which positions may be seen, in the form that the chosen operators want; undefined: all. */
export interface EncoderMask {
  /** Added to scores, (batch, 1, 1, keys). */
  readonly bias?: Value;
  /** (batch, keys), int32. */
  readonly keys?: Value;
}

export interface EncoderAttentionFields {
  /** Scope of the operators that are no layers. */
  readonly path: string;
  /** Module paths of the four linear layers. */
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly output: string;
  readonly width: number;
  readonly heads: number;
  /** Whether queries, keys and values have a bias; the output has one in any case. */
  readonly queryKeyValueBias: boolean;
}

/** Self-attention in which every position sees every other that the mask admits, on (batch, sequence, width). */
export const encoderAttention = (
  b: GraphBuilder,
  x: Value,
  fields: EncoderAttentionFields,
  mask: EncoderMask | undefined,
): Value => {
  const { path, width, heads, queryKeyValueBias: bias } = fields;
  const size = { inputs: width, outputs: width };
  const query = linear(b, x, { path: fields.query, ...size, bias, role: 'q' });
  const key = linear(b, x, { path: fields.key, ...size, bias, role: 'k' });
  const value = linear(b, x, { path: fields.value, ...size, bias, role: 'v' });
  const headSize = width / heads;
  const scale = headSize ** -0.5;
  const context = b.within(path, () => {
    if (b.options.fused) return fusedEncoderAttention(b, query, key, value, { heads, scale, mask: mask?.keys });
    const [q, k, v] = [query, key, value].map((projected) => splitHeads(b, projected, heads, headSize));
    return attend(b, q!, k!, v!, { heads, keyValueHeads: heads, headSize, scale, bias: mask?.bias });
  });
  return linear(b, context, { path: fields.output, ...size, bias: true, role: 'o' });
};
