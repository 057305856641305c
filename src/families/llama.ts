import { buildDecoder } from './decoder.ts';
import type { DecoderInput } from './decoder-schema.ts';
import { type DecoderVariant, readDecoderConfig } from './decoder-variant.ts';
import type { Family } from './family.ts';
import type { Activation } from './layers/activation.ts';
import { WeightReader } from './weights.ts';

/** Windowed where layer_types says so; without it, from layer max_window_layers on, where use_sliding_window is set. */
const qwenWindow = (input: DecoderInput, layer: number): boolean => {
  if (!input.use_sliding_window) return false;
  return input.layer_types
    ? input.layer_types[layer] === 'sliding_attention'
    : layer >= (input.max_window_layers ?? Number.POSITIVE_INFINITY);
};

const allWindowed = (input: DecoderInput): boolean => input.sliding_window !== undefined;

/** Every `period`-th layer sees everything, the others a window, unless layer_types says otherwise. */
const alternating =
  (period: (input: DecoderInput) => number) =>
  (input: DecoderInput, layer: number): boolean =>
    input.layer_types ? input.layer_types[layer] === 'sliding_attention' : (layer + 1) % period(input) !== 0;

/** The first releases say 'gelu' and mean its approximation, which they were trained with. */
const gemmaActivation = (input: DecoderInput): Activation => {
  const named = input.hidden_activation ?? input.hidden_act ?? 'gelu_pytorch_tanh';
  return named === 'gelu' ? 'gelu_pytorch_tanh' : named;
};

const gemma: DecoderVariant = {
  tied: true,
  headSize: 256,
  gain: 'stored-less-one',
  activation: gemmaActivation,
  embeddingScale: (input) => Math.sqrt(input.hidden_size),
};

const gemma2: DecoderVariant = {
  ...gemma,
  norms: 'around',
  attentionScale: (input) => (input.query_pre_attn_scalar ?? 256) ** -0.5,
  windowed: alternating(() => 2),
};

const gemma3: DecoderVariant = {
  ...gemma2,
  queryKeyNorm: true,
  windowed: alternating((input) => input.sliding_window_pattern ?? 6),
  rope: (input, kind) => {
    const entry = input.rope_parameters?.[kind];
    if (kind === 'sliding_attention') return { entry: entry ?? {}, theta: input.rope_local_base_freq ?? 10_000 };
    return { entry: entry ?? input.rope_scaling ?? {}, theta: input.rope_theta ?? 1_000_000 };
  },
};

const variants: Readonly<Record<string, DecoderVariant>> = {
  llama: {},
  mistral: { windowed: allWindowed },
  qwen2: { queryKeyValueBias: () => true, outputBias: () => false, windowed: qwenWindow },
  qwen3: { queryKeyNorm: true, headSize: 128, windowed: qwenWindow },
  smollm3: {
    tied: true,
    theta: 2_000_000,
    windowed: (input, layer) => input.layer_types?.[layer] === 'sliding_attention',
    rotated: (input, layer) =>
      (input.no_rope_layers?.[layer] ?? (layer + 1) % (input.no_rope_layer_interval ?? 4)) !== 0,
  },
  gemma,
  gemma2,
  gemma3_text: gemma3,
  phi3: {
    epsilon: 1e-5,
    projections: 'fused',
    windowed: allWindowed,
    rope: (input) => {
      const entry = input.rope_parameters ?? input.rope_scaling ?? {};
      const type = entry.rope_type ?? entry.type;
      return {
        // Its first configurations call LongRoPE 'yarn'.
        entry: type === 'yarn' ? { ...entry, rope_type: 'longrope' } : entry,
        theta: input.rope_theta ?? 10_000,
      };
    },
  },
  granite: {
    embeddingScale: (input) => input.embedding_multiplier ?? 1,
    residualScale: (input) => input.residual_multiplier ?? 1,
    logitScale: (input) => 1 / (input.logits_scaling ?? 1),
    attentionScale: (input) => input.attention_multiplier ?? 1,
  },
};

/** Decoders of rotated attention, RMS norms and gated feed-forward layers. */
export const llama: Family = {
  name: 'llama',
  summary: 'Llama 2 and 3, SmolLM, Mistral, Qwen2 and 2.5, Qwen3, SmolLM3, Gemma 1 to 3 (text), Phi-3, Granite',
  modelTypes: Object.keys(variants),
  build(config, weights, options) {
    const decoder = readDecoderConfig(variants, config, weights);
    return buildDecoder(decoder, new WeightReader(weights, options.dtype), options);
  },
};
