import { z } from 'zod';
import { activationNames } from './layers/activation.ts';
import { ropeSchema } from './rope-config.ts';

const count = z.number().int().positive();
const optionalCount = count.nullish().transform((value) => value ?? undefined);
const optionalNumber = z
  .number()
  .nullish()
  .transform((value) => value ?? undefined);
const optionalFlag = z
  .boolean()
  .nullish()
  .transform((value) => value ?? undefined);
const activation = z.enum(activationNames).nullish();

/** The keys of Llama-like configurations that change the graph. Which of them a model type has differs. */
export const decoderSchema = z.object({
  model_type: z.string(),
  architectures: z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? []),
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: optionalCount,
  head_dim: optionalCount,
  max_position_embeddings: count,
  rms_norm_eps: optionalNumber,
  hidden_act: activation,
  hidden_activation: activation,
  tie_word_embeddings: optionalFlag,
  attention_bias: optionalFlag,
  qkv_bias: optionalFlag,
  mlp_bias: optionalFlag,
  use_bidirectional_attention: optionalFlag,
  rope_theta: z
    .number()
    .positive()
    .nullish()
    .transform((value) => value ?? undefined),
  rope_local_base_freq: optionalNumber,
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  partial_rotary_factor: optionalNumber,
  original_max_position_embeddings: optionalCount,
  sliding_window: z
    .number()
    .int()
    .nonnegative()
    .nullish()
    .transform((value) => value || undefined),
  use_sliding_window: optionalFlag,
  max_window_layers: z.number().int().nonnegative().nullish(),
  sliding_window_pattern: optionalCount,
  layer_types: z.array(z.enum(['full_attention', 'sliding_attention'])).nullish(),
  no_rope_layers: z.array(z.number().int()).nullish(),
  no_rope_layer_interval: optionalCount,
  query_pre_attn_scalar: optionalNumber,
  attn_logit_softcapping: optionalNumber,
  final_logit_softcapping: optionalNumber,
  embedding_multiplier: optionalNumber,
  attention_multiplier: optionalNumber,
  residual_multiplier: optionalNumber,
  logits_scaling: optionalNumber,
  num_local_experts: optionalCount,
  num_experts: optionalCount,
  num_experts_per_tok: optionalCount,
  moe_intermediate_size: optionalCount,
  shared_expert_intermediate_size: optionalCount,
  norm_topk_prob: optionalFlag,
  decoder_sparse_step: optionalCount,
  mlp_only_layers: z.array(z.number().int()).nullish(),
});

export type DecoderInput = z.infer<typeof decoderSchema>;
