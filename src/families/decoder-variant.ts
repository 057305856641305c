import { CompressError, CompressErrors } from '../errors.ts';
import { configFile, parseConfig, unsupportedConfig } from './config.ts';
import type { DecoderConfig, DecoderLayer, ExpertMlp } from './decoder-config.ts';
import { type DecoderInput, decoderSchema } from './decoder-schema.ts';
import type { JsonObject, TensorSource } from './family.ts';
import type { Activation } from './layers/activation.ts';
import { type RotaryFrequencies, rotaryFrequencies } from './layers/rotary-frequencies.ts';
import { normaliseRope, type RopeInput } from './rope-config.ts';

/** What kind of attention a layer has; some models rotate the two kinds differently. */
type LayerKind = 'full_attention' | 'sliding_attention';

/** How the decoders of one model type differ from Llama. What is not said is as in Llama. */
export interface DecoderVariant {
  /** Values of keys that the configuration may leave out. */
  readonly theta?: number;
  readonly epsilon?: number;
  readonly tied?: boolean;
  readonly headSize?: number;
  /** Whether queries, keys and values have a bias; the configuration's attention_bias decides otherwise. */
  readonly queryKeyValueBias?: (input: DecoderInput) => boolean;
  /** Whether the result of attention has a bias. */
  readonly outputBias?: (input: DecoderInput) => boolean;
  readonly queryKeyNorm?: boolean;
  readonly gain?: DecoderConfig['gain'];
  readonly norms?: DecoderConfig['norms'];
  /** How q, k, v and gate, up are stored. */
  readonly projections?: DecoderConfig['projections'];
  readonly activation?: (input: DecoderInput) => Activation;
  readonly embeddingScale?: (input: DecoderInput) => number;
  readonly residualScale?: (input: DecoderInput) => number;
  readonly logitScale?: (input: DecoderInput) => number;
  readonly attentionScale?: (input: DecoderInput) => number;
  /** Whether a layer sees only the last `sliding_window` positions. */
  readonly windowed?: (input: DecoderInput, layer: number) => boolean;
  readonly rotated?: (input: DecoderInput, layer: number) => boolean;
  /** The rope object and base of a kind of layer. */
  readonly rope?: (input: DecoderInput, kind: LayerKind) => { readonly entry: RopeInput; readonly theta: number };
  /** The experts of a layer; undefined for a plain one. */
  readonly experts?: (input: DecoderInput, layer: number) => ExpertMlp | undefined;
}

const defaultRope = (input: DecoderInput, variant: DecoderVariant): { entry: RopeInput; theta: number } => ({
  entry: input.rope_parameters ?? input.rope_scaling ?? {},
  theta: input.rope_theta ?? variant.theta ?? 10_000,
});

/** Rotation of a kind of layer, with its sizes checked. */
const rotationOf = (
  input: DecoderInput,
  variant: DecoderVariant,
  kind: LayerKind,
  headSize: number,
  wrong: (key: string, message: string) => CompressError,
): RotaryFrequencies => {
  const { entry, theta } = variant.rope?.(input, kind) ?? defaultRope(input, variant);
  const rope = normaliseRope(entry, {
    theta,
    partial: input.partial_rotary_factor ?? 1,
    maxPositions: input.max_position_embeddings,
    originalLength: input.original_max_position_embeddings,
  });
  const channels = Math.floor(headSize * rope.partial);
  if (channels % 2 !== 0)
    throw wrong('head_dim', `${channels} channels of each head cannot be rotated in pairs: the number is odd`);
  for (const [key, factors] of [
    ['short_factor', rope.shortFactor],
    ['long_factor', rope.longFactor],
  ] as const)
    if (rope.type === 'longrope' && factors.length !== channels / 2)
      throw wrong(
        `${input.rope_parameters ? 'rope_parameters' : 'rope_scaling'}.${key}`,
        `${factors.length} factors given for ${channels / 2} pairs of rotated channels`,
      );
  return rotaryFrequencies(rope, headSize, input.max_position_embeddings);
};

const headOf = (input: DecoderInput, variant: DecoderVariant, weights: TensorSource): DecoderConfig['head'] => {
  const architecture = input.architectures[0];
  if (architecture?.endsWith('Model')) return 'none';
  if (architecture !== undefined && !architecture.endsWith('ForCausalLM'))
    throw unsupportedConfig(
      weights,
      'architectures',
      `${architecture} has a head that this version cannot build; it builds …ForCausalLM and …Model`,
    );
  return (input.tie_word_embeddings ?? variant.tied ?? false) ? 'tied' : 'own';
};

/** The sizes of heads, checked against each other. */
const headSizesOf = (
  input: DecoderInput,
  variant: DecoderVariant,
  wrong: (key: string, message: string) => CompressError,
): Pick<DecoderConfig, 'heads' | 'keyValueHeads' | 'headSize'> => {
  const heads = input.num_attention_heads;
  const keyValueHeads = input.num_key_value_heads ?? heads;
  const headSize = input.head_dim ?? variant.headSize ?? input.hidden_size / heads;
  if (heads % keyValueHeads !== 0)
    throw wrong('num_key_value_heads', `${heads} attention heads cannot share ${keyValueHeads} key-value heads evenly`);
  if (!Number.isInteger(headSize))
    throw wrong('num_attention_heads', `a width of ${input.hidden_size} cannot be split into ${heads} heads`);
  return { heads, keyValueHeads, headSize };
};

/** Parses config.json and merges it with what its model type implies. */
export const readDecoderConfig = (
  variants: Readonly<Record<string, DecoderVariant>>,
  config: JsonObject,
  weights: TensorSource,
): DecoderConfig => {
  const input = parseConfig(decoderSchema, config, weights);
  const variant = variants[input.model_type] ?? {};
  const wrong = (key: string, message: string): CompressError =>
    new CompressErrors([new CompressError({ code: 'malformed', message, where: { file: configFile(weights), key } })]);
  if (input.use_bidirectional_attention)
    throw unsupportedConfig(weights, 'use_bidirectional_attention', 'decoders that see later tokens cannot be built');
  const sizes = headSizesOf(input, variant, wrong);
  const rotations = new Map<LayerKind, RotaryFrequencies>();
  const layerOf = (layer: number): DecoderLayer => {
    const windowed = variant.windowed?.(input, layer) ?? false;
    const kind = windowed ? 'sliding_attention' : 'full_attention';
    const rotation = rotations.get(kind) ?? rotationOf(input, variant, kind, sizes.headSize, wrong);
    rotations.set(kind, rotation);
    return {
      window: windowed ? input.sliding_window : undefined,
      rotation: (variant.rotated?.(input, layer) ?? true) ? rotation : undefined,
      mlp: variant.experts?.(input, layer) ?? {
        kind: 'gated',
        inner: input.intermediate_size,
        bias: input.mlp_bias ?? false,
        stored: variant.projections ?? 'separate',
      },
    };
  };
  return {
    vocabulary: input.vocab_size,
    width: input.hidden_size,
    ...sizes,
    maxPositions: input.max_position_embeddings,
    activation: variant.activation?.(input) ?? input.hidden_act ?? 'silu',
    epsilon: input.rms_norm_eps ?? variant.epsilon ?? 1e-6,
    gain: variant.gain ?? 'stored',
    norms: variant.norms ?? 'before',
    queryKeyNorm: variant.queryKeyNorm ?? false,
    projections: variant.projections ?? 'separate',
    bias: {
      queryKeyValue: variant.queryKeyValueBias?.(input) ?? input.attention_bias ?? false,
      output: variant.outputBias?.(input) ?? input.attention_bias ?? false,
    },
    attentionScale: variant.attentionScale?.(input) ?? sizes.headSize ** -0.5,
    attentionSoftcap: input.attn_logit_softcapping,
    logitSoftcap: input.final_logit_softcapping,
    embeddingScale: variant.embeddingScale?.(input) ?? 1,
    residualScale: variant.residualScale?.(input) ?? 1,
    logitScale: variant.logitScale?.(input) ?? 1,
    head: headOf(input, variant, weights),
    layers: Array.from({ length: input.num_hidden_layers }, (_, layer) => layerOf(layer)),
  };
};
