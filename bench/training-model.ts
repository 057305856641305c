import { freshWeights } from '../src/families/fresh.ts';
import { buildProgram } from '../src/families/index.ts';
import type { Program } from '../src/ir/graph.ts';

/** The Llama that training is timed with: 5.5 million parameters. training.py builds the same one. */
export const benchConfig = {
  model_type: 'llama',
  vocab_size: 1024,
  hidden_size: 256,
  intermediate_size: 736,
  num_hidden_layers: 6,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: 'silu',
  tie_word_embeddings: false,
} as const;

const tensorNames = (): string[] => [
  'model.embed_tokens.weight',
  'model.norm.weight',
  'lm_head.weight',
  ...Array.from({ length: benchConfig.num_hidden_layers }, (_, layer) =>
    [
      'input_layernorm',
      'post_attention_layernorm',
      'self_attn.q_proj',
      'self_attn.k_proj',
      'self_attn.v_proj',
      'self_attn.o_proj',
      'mlp.gate_proj',
      'mlp.up_proj',
      'mlp.down_proj',
    ].map((part) => `model.layers.${layer}.${part}.weight`),
  ).flat(),
];

/** The model with random weights. */
export const benchProgram = (seed: number): Program =>
  buildProgram(benchConfig, freshWeights({ names: tensorNames(), seed, deviation: 0.02 }));
