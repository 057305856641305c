import { buildDecoder } from './decoder.ts';
import type { ExpertMlp } from './decoder-config.ts';
import type { DecoderInput } from './decoder-schema.ts';
import { type DecoderVariant, readDecoderConfig } from './decoder-variant.ts';
import type { Family } from './family.ts';
import { type Renames, WeightReader } from './weights.ts';

/** Layers of experts come every `decoder_sparse_step`, except those that `mlp_only_layers` names. */
const isSparse = (input: DecoderInput, layer: number): boolean =>
  (layer + 1) % (input.decoder_sparse_step ?? 1) === 0 && !(input.mlp_only_layers ?? []).includes(layer);

const qwenExperts = (input: DecoderInput, experts: number, chosen: number): ExpertMlp => ({
  kind: 'experts',
  experts: input.num_experts ?? input.num_local_experts ?? experts,
  chosen: input.num_experts_per_tok ?? chosen,
  inner: input.moe_intermediate_size ?? input.intermediate_size,
  module: 'mlp',
  names: ['gate_proj', 'up_proj', 'down_proj'],
  normalised: input.norm_topk_prob ?? false,
  sharedInner: undefined,
});

const variants: Readonly<Record<string, DecoderVariant>> = {
  mixtral: {
    theta: 1_000_000,
    epsilon: 1e-5,
    windowed: (input) => input.sliding_window !== undefined,
    experts: (input) => ({
      kind: 'experts',
      experts: input.num_local_experts ?? input.num_experts ?? 8,
      chosen: input.num_experts_per_tok ?? 2,
      inner: input.intermediate_size,
      module: 'block_sparse_moe',
      names: ['w1', 'w3', 'w2'],
      normalised: true,
      sharedInner: undefined,
    }),
  },
  qwen2_moe: {
    queryKeyValueBias: (input) => input.qkv_bias ?? true,
    outputBias: () => false,
    windowed: (input, layer) =>
      (input.use_sliding_window ?? false) &&
      (input.layer_types
        ? input.layer_types[layer] === 'sliding_attention'
        : (layer + 1) % 2 !== 0 && layer < (input.max_window_layers ?? 28)),
    experts: (input, layer) =>
      isSparse(input, layer)
        ? { ...qwenExperts(input, 60, 4), sharedInner: input.shared_expert_intermediate_size ?? 5632 }
        : undefined,
  },
  qwen3_moe: {
    queryKeyNorm: true,
    windowed: (input) => (input.use_sliding_window ?? false) && input.sliding_window !== undefined,
    experts: (input, layer) => (isSparse(input, layer) ? qwenExperts(input, 128, 8) : undefined),
  },
};

/** In memory, transformers 5 calls Mixtral's layer of experts `mlp`; published files call it `block_sparse_moe`. */
const renames: Renames = [[/^(.*layers\.\d+)\.mlp\.(gate|experts)\b/, '$1.block_sparse_moe.$2']];

/** Decoders whose feed-forward layers are sparse mixtures of experts. */
export const mixtral: Family = {
  name: 'mixtral',
  summary: 'Mixtral, Qwen2-MoE, Qwen3-MoE: sparse mixtures of experts, each expert with sites of its own',
  modelTypes: Object.keys(variants),
  build(config, weights, options) {
    const decoder = readDecoderConfig(variants, config, weights);
    const rules = config.model_type === 'mixtral' ? renames : [];
    return buildDecoder(decoder, new WeightReader(weights, options.dtype, rules), options);
  },
};
