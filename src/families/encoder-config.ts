import { z } from 'zod';
import { CompressError } from '../errors.ts';
import { configFile, parseConfig, unsupportedConfig } from './config.ts';
import { bertNames, distilbertNames, type EncoderNames, robertaNames } from './encoder-names.ts';
import type { JsonObject, TensorSource } from './family.ts';
import { labelCount, labelFields } from './labels.ts';
import { type Activation, activationNames } from './layers/activation.ts';

/** What an encoder's graph ends with. */
type EncoderTask = 'hidden-state' | 'sequence-class' | 'token-class' | 'answer-span' | 'masked-token';

/** A BERT-like encoder, without optionals of its configuration file. */
export interface EncoderConfig {
  readonly names: EncoderNames;
  readonly task: EncoderTask;
  /** How the vector that a sequence is classified by is made from the first token's. */
  readonly classifier: 'pooler' | 'dense-tanh' | 'dense-relu';
  readonly vocabulary: number;
  readonly width: number;
  readonly inner: number;
  readonly heads: number;
  readonly layers: number;
  readonly maxPositions: number;
  /** Kinds of tokens; 0 for models that do not tell them apart. */
  readonly types: number;
  /** Positions count tokens other than padding from padding + 1 on, or all from 0. */
  readonly positions: { readonly kind: 'all' } | { readonly kind: 'after-padding'; readonly padding: number };
  readonly epsilon: number;
  readonly activation: Activation;
  /** Activation of the head that fills in masked tokens. */
  readonly transformActivation: Activation;
  readonly tied: boolean;
  readonly labels: number;
}

const count = z.number().int().positive();
const activation = z.enum(activationNames).nullish();

const common = {
  model_type: z.string(),
  architectures: z.array(z.string()).nullish(),
  vocab_size: count,
  max_position_embeddings: count,
  pad_token_id: z.number().int().nonnegative().nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  ...labelFields,
};

const bertSchema = z.object({
  ...common,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  type_vocab_size: count,
  layer_norm_eps: z.number().positive().nullish(),
  hidden_act: activation,
  is_decoder: z.boolean().nullish(),
  position_embedding_type: z.string().nullish(),
});

const distilbertSchema = z.object({
  ...common,
  dim: count,
  hidden_dim: count,
  n_layers: count,
  n_heads: count,
  activation,
});

const tasks: readonly (readonly [suffix: string, task: EncoderTask])[] = [
  ['ForSequenceClassification', 'sequence-class'],
  ['ForTokenClassification', 'token-class'],
  ['ForQuestionAnswering', 'answer-span'],
  ['ForMaskedLM', 'masked-token'],
  ['Model', 'hidden-state'],
];

const taskOf = (architecture: string | undefined, weights: TensorSource): EncoderTask => {
  if (architecture === undefined) return 'hidden-state';
  const found = tasks.find(([suffix]) => architecture.endsWith(suffix));
  if (found) return found[1];
  const known = tasks.map(([suffix]) => `…${suffix}`).join(', ');
  const message = `${architecture} has a head that this version cannot build; it builds ${known}`;
  throw unsupportedConfig(weights, 'architectures', message);
};

const commonOf = (input: z.infer<z.ZodObject<typeof common>>, weights: TensorSource) => ({
  task: taskOf(input.architectures?.[0], weights),
  vocabulary: input.vocab_size,
  maxPositions: input.max_position_embeddings,
  tied: input.tie_word_embeddings ?? true,
  labels: labelCount(input),
});

const readDistilbert = (config: JsonObject, weights: TensorSource): EncoderConfig => {
  const input = parseConfig(distilbertSchema, config, weights);
  const activation = input.activation ?? 'gelu';
  return {
    ...commonOf(input, weights),
    names: distilbertNames,
    classifier: 'dense-relu',
    width: input.dim,
    inner: input.hidden_dim,
    heads: input.n_heads,
    layers: input.n_layers,
    types: 0,
    positions: { kind: 'all' },
    epsilon: 1e-12,
    activation,
    transformActivation: activation,
  };
};

const readBert = (config: JsonObject, weights: TensorSource): EncoderConfig => {
  const input = parseConfig(bertSchema, config, weights);
  if (input.is_decoder) throw unsupportedConfig(weights, 'is_decoder', 'encoders used as decoders cannot be built');
  if (input.position_embedding_type && input.position_embedding_type !== 'absolute')
    throw unsupportedConfig(
      weights,
      'position_embedding_type',
      `${input.position_embedding_type} positions cannot be built, only absolute ones`,
    );
  const bert = input.model_type === 'bert';
  const activation = input.hidden_act ?? 'gelu';
  return {
    ...commonOf(input, weights),
    names: bert ? bertNames : robertaNames,
    classifier: bert ? 'pooler' : 'dense-tanh',
    width: input.hidden_size,
    inner: input.intermediate_size,
    heads: input.num_attention_heads,
    layers: input.num_hidden_layers,
    types: input.type_vocab_size,
    positions: bert ? { kind: 'all' } : { kind: 'after-padding', padding: input.pad_token_id ?? 1 },
    epsilon: input.layer_norm_eps ?? 1e-12,
    activation,
    transformActivation: bert ? activation : 'gelu',
  };
};

/** Parses config.json and merges it with what its model type implies. */
export const readEncoderConfig = (config: JsonObject, weights: TensorSource): EncoderConfig => {
  const encoder = config.model_type === 'distilbert' ? readDistilbert(config, weights) : readBert(config, weights);
  if (encoder.width % encoder.heads !== 0)
    throw new CompressError({
      code: 'malformed',
      message: `a width of ${encoder.width} cannot be split into ${encoder.heads} heads`,
      where: { file: configFile(weights), key: config.model_type === 'distilbert' ? 'n_heads' : 'num_attention_heads' },
    });
  return encoder;
};
