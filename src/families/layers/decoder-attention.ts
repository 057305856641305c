import type { Value } from '../../ir/graph.ts';
import type { GraphBuilder } from '../builder.ts';
import type { DecoderConfig, DecoderLayer } from '../decoder-config.ts';
import { type DecoderShared, decoderCore, type Projected } from './decoder-core.ts';
import { linear, project } from './linear.ts';
import { partOf } from './mlp.ts';
import { rmsNorm } from './norm.ts';

export interface DecoderAttentionFields {
  /** Module path of the attention. */
  readonly path: string;
  readonly index: number;
  readonly config: DecoderConfig;
  readonly layer: DecoderLayer;
}

/** Queries, keys and values, (batch, sequence, heads · headSize). */
const projectAll = (b: GraphBuilder, x: Value, { path, config }: DecoderAttentionFields): Projected => {
  const { heads, keyValueHeads, headSize, width, bias } = config;
  const sizes = { q: heads * headSize, k: keyValueHeads * headSize, v: keyValueHeads * headSize };
  const total = sizes.q + sizes.k + sizes.v;
  const one = (role: 'q' | 'k' | 'v', begin: number): Value => {
    const site = { path: `${path}.${role}_proj`, outputs: sizes[role], bias: bias.queryKeyValue, role };
    if (config.projections === 'separate') return linear(b, x, { ...site, inputs: width });
    return project(b, x, site, () =>
      partOf(b, b.weights.stored(`${path}.qkv_proj.weight`, [total, width]), begin, sizes[role]),
    );
  };
  return [one('q', 0), one('k', sizes.q), one('v', sizes.q + sizes.k)];
};

/** Self-attention of a Llama-like decoder on (batch, sequence, width). */
export const decoderAttention = (
  b: GraphBuilder,
  x: Value,
  fields: DecoderAttentionFields,
  shared: DecoderShared,
): Value => {
  const { path, config, layer, index } = fields;
  const { headSize, epsilon, gain } = config;
  const headNorm = (name: string) => (value: Value) =>
    rmsNorm(b, value, { path: `${path}.${name}`, width: headSize, epsilon, gain });
  const projected = projectAll(b, x, fields);
  const core = {
    heads: config.heads,
    keyValueHeads: config.keyValueHeads,
    headSize,
    index,
    window: layer.window,
    rotation: layer.rotation,
    scale: config.attentionScale,
    softcap: config.attentionSoftcap,
    maxPositions: config.maxPositions,
    ...(config.queryKeyNorm ? { normQuery: headNorm('q_norm'), normKey: headNorm('k_norm') } : {}),
  };
  const context = b.within(path, () => decoderCore(b, projected, core, shared));
  return linear(b, context, {
    path: `${path}.o_proj`,
    inputs: config.heads * headSize,
    outputs: config.width,
    bias: config.bias.output,
    role: 'o',
  });
};
