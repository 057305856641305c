import { describe, expect, test } from 'vitest';
import { buildProgram } from '../../src/families/index.ts';
import { largestDifference, openGolden, runProgram } from './golden.ts';

/** What a golden case is there to tell apart: without it, the outputs must change, else the golden proves nothing. */
const features: readonly (readonly [golden: string, change: Readonly<Record<string, unknown>>])[] = [
  ['llama', { rope_parameters: { rope_type: 'default', rope_theta: 50 } }],
  ['llama', { rms_norm_eps: 0.1 }],
  ['llama-linear', { rope_parameters: { rope_type: 'default', rope_theta: 100 } }],
  ['llama-dynamic', { rope_parameters: { rope_type: 'default', rope_theta: 100 } }],
  ['llama-dynamic', { max_position_embeddings: 64 }],
  ['llama-yarn', { rope_parameters: { rope_type: 'default', rope_theta: 100 } }],
  ['llama-llama3', { rope_scaling: null }],
  ['llama-longrope', { max_position_embeddings: 64, rope_parameters: { rope_type: 'default', rope_theta: 100 } }],
  ['mistral', { sliding_window: null }],
  ['qwen2-window', { max_window_layers: 2, layer_types: null }],
  ['qwen2-window', { layer_types: null, max_window_layers: 0 }],
  ['smollm3', { no_rope_layers: [1, 1] }],
  ['gemma', { model_type: 'llama', head_dim: 8, tie_word_embeddings: true }],
  ['gemma2', { attn_logit_softcapping: null }],
  ['gemma2', { final_logit_softcapping: null }],
  ['gemma2', { query_pre_attn_scalar: 16 }],
  ['gemma2', { layer_types: ['full_attention', 'full_attention'] }],
  ['gemma3', { rope_local_base_freq: 1000 }],
  ['gemma3', { rope_scaling: null }],
  ['phi3', { original_max_position_embeddings: 32 }],
  ['granite', { residual_multiplier: 1 }],
  ['granite', { attention_multiplier: 1 }],
  ['granite', { embedding_multiplier: 1 }],
  ['granite', { logits_scaling: 1 }],
  ['mixtral', { num_experts_per_tok: 1 }],
  ['qwen3-moe', { norm_topk_prob: false }],
  ['gpt2', { scale_attn_by_inverse_layer_idx: true }],
  ['gpt2', { activation_function: 'gelu' }],
  ['gpt2', { scale_attn_weights: false }],
  ['bert', { layer_norm_eps: 0.1 }],
  ['roberta-masked', { pad_token_id: 2 }],
  ['vit', { hidden_act: 'relu' }],
];

describe('a golden tells its feature from its absence', () => {
  test.each(features)('%s without %j', async (name, change) => {
    const golden = openGolden(name);
    const { config, tensors } = golden.checkpoint;
    const results = await runProgram(buildProgram({ ...config, ...change }, tensors), golden.arrays);
    const output = golden.arrays.has('logits') ? 'logits' : 'last_hidden_state';
    expect(largestDifference(results.get(output), golden.arrays.get(output))).toBeGreaterThan(1e-3);
  });
});
