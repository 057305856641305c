import { z } from 'zod';
import { CompressError } from '../errors.ts';
import type { Program, Value } from '../ir/graph.ts';
import { GraphBuilder } from './builder.ts';
import { configFile, parseConfig, unsupportedConfig } from './config.ts';
import type { BuildOptions, Family, JsonObject, TensorSource } from './family.ts';
import { activationNames } from './layers/activation.ts';
import { type DecoderShared, decoderCore, prepareShared } from './layers/decoder-core.ts';
import { embed, embeddingMatrix } from './layers/embedding.ts';
import { linear, linearStoredTransposed, tiedHead } from './layers/linear.ts';
import { plainMlp } from './layers/mlp.ts';
import { layerNorm } from './layers/norm.ts';
import { sequenceOf, tokenShape } from './layers/sequence.ts';
import { WeightReader } from './weights.ts';

const count = z.number().int().positive();
const flag = (fallback: boolean) =>
  z
    .boolean()
    .nullish()
    .transform((value) => value ?? fallback);

const schema = z.object({
  architectures: z
    .array(z.string())
    .nullish()
    .transform((value) => value?.[0] ?? 'GPT2LMHeadModel'),
  vocab_size: count,
  n_embd: count,
  n_layer: count,
  n_head: count,
  n_positions: count,
  n_inner: count.nullish(),
  activation_function: z.enum(activationNames).nullish(),
  layer_norm_epsilon: z.number().positive().nullish(),
  scale_attn_weights: flag(true),
  scale_attn_by_inverse_layer_idx: flag(false),
  add_cross_attention: flag(false),
  tie_word_embeddings: flag(true),
});

type Config = z.infer<typeof schema>;

const readConfig = (config: JsonObject, weights: TensorSource): Config => {
  const parsed = parseConfig(schema, config, weights);
  if (parsed.add_cross_attention)
    throw unsupportedConfig(weights, 'add_cross_attention', 'attention to another model cannot be built');
  if (!['GPT2LMHeadModel', 'GPT2Model'].includes(parsed.architectures))
    throw unsupportedConfig(
      weights,
      'architectures',
      `${parsed.architectures} has a head that this version cannot build; it builds GPT2LMHeadModel and GPT2Model`,
    );
  if (parsed.n_embd % parsed.n_head !== 0)
    throw new CompressError({
      code: 'malformed',
      message: `a width of ${parsed.n_embd} cannot be split into ${parsed.n_head} heads`,
      where: { file: configFile(weights), key: 'n_head' },
    });
  return parsed;
};

const decoderLayer = (
  b: GraphBuilder,
  x: Value,
  path: string,
  index: number,
  config: Config,
  shared: DecoderShared,
): Value => {
  const width = config.n_embd;
  const heads = config.n_head;
  const headSize = width / heads;
  const epsilon = config.layer_norm_epsilon ?? 1e-5;
  const norm = (value: Value, name: string): Value => layerNorm(b, value, { path: `${path}.${name}`, width, epsilon });
  const joined = linearStoredTransposed(b, norm(x, 'ln_1'), {
    path: `${path}.attn.c_attn`,
    inputs: width,
    outputs: 3 * width,
    bias: true,
    role: 'qkv',
  });
  const context = b.within(`${path}.attn`, () => {
    const [query, key, value] = b.split(joined, -1, [width, width, width]);
    const scale =
      (config.scale_attn_weights ? headSize ** -0.5 : 1) / (config.scale_attn_by_inverse_layer_idx ? index + 1 : 1);
    const kind = { window: undefined, rotation: undefined, softcap: undefined, maxPositions: config.n_positions };
    const fields = { ...kind, heads, keyValueHeads: heads, headSize, index, scale };
    return decoderCore(b, [query!, key!, value!], fields, shared);
  });
  const site = { path: `${path}.attn.c_proj`, inputs: width, outputs: width, bias: true, role: 'o' } as const;
  const attended = linearStoredTransposed(b, context, site);
  const middle = b.within(path, () => b.add(x, attended));
  const result = plainMlp(b, norm(middle, 'ln_2'), {
    inward: `${path}.mlp.c_fc`,
    outward: `${path}.mlp.c_proj`,
    width,
    inner: config.n_inner ?? 4 * width,
    activation: config.activation_function ?? 'gelu_new',
    layer: linearStoredTransposed,
  });
  return b.within(path, () => b.add(middle, result));
};

const build = (config: Config, weights: WeightReader, options: BuildOptions): Program => {
  const b = new GraphBuilder(options, weights);
  const prefix = weights.prefixOf('wte.weight', 'transformer.', '');
  const { n_embd: width, n_head: heads, n_layer: layers, vocab_size: entries } = config;
  const sequence = sequenceOf(b, { layers, heads, headSize: width / heads });
  const words = { path: `${prefix}wte`, entries, width } as const;
  const tokens = embed(b, sequence.ids, { ...words, role: 'embedding' });
  const places = embed(b, sequence.positions, {
    path: `${prefix}wpe`,
    entries: config.n_positions,
    width,
    role: 'position-embedding',
  });
  const kinds = Array.from({ length: layers }, () => ({ window: undefined, rotation: undefined }));
  const shared = prepareShared(b, sequence, kinds, width / heads);
  const start = b.within(`${prefix}embeddings`, () => b.add(tokens, places));
  const last = kinds.reduce(
    (x, _kind, index) => b.block(index, () => decoderLayer(b, x, `${prefix}h.${index}`, index, config, shared)),
    start,
  );
  const normed = layerNorm(b, last, { path: `${prefix}ln_f`, width, epsilon: config.layer_norm_epsilon ?? 1e-5 });
  if (config.architectures === 'GPT2Model')
    b.output(
      b.within('output', () => b.widen(normed)),
      'last_hidden_state',
      'float32',
      tokenShape(width),
      0,
    );
  else {
    const path = 'lm_head';
    const logits = config.tie_word_embeddings
      ? tiedHead(b, normed, path, embeddingMatrix(b, words))
      : linear(b, normed, { path, inputs: width, outputs: entries, bias: false, role: 'head' });
    b.output(
      b.within(path, () => b.widen(logits)),
      'logits',
      'float32',
      tokenShape(entries),
      0,
    );
  }
  return b.finish();
};

/** Decoders with learned positions, layer norms and one matrix for queries, keys and values, stored (inputs, outputs). */
export const gpt2: Family = {
  name: 'gpt2',
  summary: 'GPT-2 and models of its shape',
  modelTypes: ['gpt2'],
  build: (config, weights, options) =>
    build(readConfig(config, weights), new WeightReader(weights, options.dtype), options),
};
