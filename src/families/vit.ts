import { z } from 'zod';
import { CompressError } from '../errors.ts';
import { intsAttribute, type Program, type Value } from '../ir/graph.ts';
import { GraphBuilder } from './builder.ts';
import { configFile, parseConfig, unsupportedConfig } from './config.ts';
import { firstToken } from './encoder-head.ts';
import type { BuildOptions, Family, JsonObject, TensorSource } from './family.ts';
import { labelCount, labelFields } from './labels.ts';
import { activate, activationNames } from './layers/activation.ts';
import { encoderAttention } from './layers/encoder-attention.ts';
import { linear } from './layers/linear.ts';
import { plainMlp } from './layers/mlp.ts';
import { layerNorm } from './layers/norm.ts';
import { type Renames, WeightReader } from './weights.ts';

const count = z.number().int().positive();
const pair = z.union([count.transform((side) => [side, side] as const), z.tuple([count, count])]);

const schema = z.object({
  model_type: z.string(),
  architectures: z.array(z.string()).nullish(),
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  image_size: pair,
  patch_size: pair,
  num_channels: count.nullish().transform((value) => value ?? 3),
  qkv_bias: z
    .boolean()
    .nullish()
    .transform((value) => value ?? true),
  layer_norm_eps: z
    .number()
    .positive()
    .nullish()
    .transform((value) => value ?? 1e-12),
  hidden_act: z
    .enum(activationNames)
    .nullish()
    .transform((value) => value ?? 'gelu'),
  pooler_act: z
    .enum(activationNames)
    .nullish()
    .transform((value) => value ?? 'tanh'),
  pooler_output_size: count.nullish(),
  ...labelFields,
});

type Config = z.infer<typeof schema>;

/** What the graph ends with. */
const tasks = {
  ViTModel: 'hidden-state',
  DeiTModel: 'hidden-state',
  ViTForImageClassification: 'class',
  DeiTForImageClassification: 'class',
  DeiTForImageClassificationWithTeacher: 'class-of-two',
} as const;

type Task = (typeof tasks)[keyof typeof tasks];

const isKnown = (architecture: string): architecture is keyof typeof tasks => Object.hasOwn(tasks, architecture);

const readConfig = (config: JsonObject, weights: TensorSource): Config & { readonly task: Task } => {
  const parsed = parseConfig(schema, config, weights);
  const architecture = parsed.architectures?.[0] ?? 'ViTModel';
  if (!isKnown(architecture))
    throw unsupportedConfig(
      weights,
      'architectures',
      `${architecture} has a head that this version cannot build; it builds ${Object.keys(tasks).join(', ')}`,
    );
  const wrong = (key: string, message: string): CompressError =>
    new CompressError({ code: 'malformed', message, where: { file: configFile(weights), key } });
  if (parsed.hidden_size % parsed.num_attention_heads !== 0)
    throw wrong(
      'num_attention_heads',
      `a width of ${parsed.hidden_size} cannot be split into ${parsed.num_attention_heads} heads`,
    );
  if (parsed.image_size.some((side, axis) => side < parsed.patch_size[axis]!))
    throw wrong(
      'patch_size',
      `patches of ${parsed.patch_size.join('×')} do not fit images of ${parsed.image_size.join('×')}`,
    );
  return { ...parsed, task: tasks[architecture] };
};

/** Names that transformers 5 uses in memory → names of published files. */
const renames: Renames = [
  [/(^|\.)layers\.(\d+)\.attention\.q_proj\./, '$1encoder.layer.$2.attention.attention.query.'],
  [/(^|\.)layers\.(\d+)\.attention\.k_proj\./, '$1encoder.layer.$2.attention.attention.key.'],
  [/(^|\.)layers\.(\d+)\.attention\.v_proj\./, '$1encoder.layer.$2.attention.attention.value.'],
  [/(^|\.)layers\.(\d+)\.attention\.o_proj\./, '$1encoder.layer.$2.attention.output.dense.'],
  [/(^|\.)layers\.(\d+)\.mlp\.fc1\./, '$1encoder.layer.$2.intermediate.dense.'],
  [/(^|\.)layers\.(\d+)\.mlp\.fc2\./, '$1encoder.layer.$2.output.dense.'],
  [/(^|\.)layers\.(\d+)\.layernorm_/, '$1encoder.layer.$2.layernorm_'],
];

/** Tokens in front of the patches. */
const specialTokens = ({ model_type }: Config): readonly string[] =>
  model_type === 'deit' ? ['cls_token', 'distillation_token'] : ['cls_token'];

const tokenCount = (config: Config): number => {
  const { image_size: image, patch_size: patch } = config;
  return Math.floor(image[0] / patch[0]) * Math.floor(image[1] / patch[1]) + specialTokens(config).length;
};

/** Patches as tokens with the class token, and DeiT's distillation token, in front: (batch, tokens, width). */
const embeddings = (b: GraphBuilder, pixels: Value, prefix: string, config: Config): Value => {
  const path = `${prefix}embeddings`;
  const { hidden_size: width, num_channels: channels, patch_size: patch } = config;
  const name = `${path}.patch_embeddings.projection`;
  const inputs = [
    b.within(path, () => b.narrow(pixels)),
    b.weight(`${name}.weight`, () => b.weights.take(`${name}.weight`, [width, channels, ...patch])),
    b.weight(`${name}.bias`, () => b.weights.take(`${name}.bias`, [width])),
  ];
  const attributes = { kernel_shape: intsAttribute(patch), strides: intsAttribute(patch) };
  const patches = b.op('Conv', inputs, { name, role: 'patch-embedding', attributes });
  const places = `${path}.position_embeddings`;
  b.weights.leaveOut(`${path}.mask_token`);
  return b.within(path, () => {
    const rows = b.transpose(b.reshape(patches, [0, width, -1]), [0, 2, 1]);
    const shape = b.concat([b.dimensions(pixels, 0, 1), b.ints([1, width])], 0);
    const tokens = specialTokens(config).map((token) => {
      const vector = `${path}.${token}`;
      return b.op('Expand', [b.weight(vector, () => b.weights.take(vector, [1, 1, width])), shape]);
    });
    const table = b.weight(places, () => b.weights.take(places, [1, tokenCount(config), width]));
    return b.add(b.concat([...tokens, rows], 1), table);
  });
};

/** Attention and feed-forward layer, each on normed input (Dosovitskiy et al. 2020). */
const encoderLayer = (b: GraphBuilder, x: Value, path: string, config: Config): Value => {
  const { hidden_size: width, layer_norm_eps: epsilon } = config;
  const attention = `${path}.attention`;
  const before = layerNorm(b, x, { path: `${path}.layernorm_before`, width, epsilon });
  const fields = {
    path: attention,
    query: `${attention}.attention.query`,
    key: `${attention}.attention.key`,
    value: `${attention}.attention.value`,
    output: `${attention}.output.dense`,
    width,
    heads: config.num_attention_heads,
    queryKeyValueBias: config.qkv_bias,
  };
  const attended = encoderAttention(b, before, fields, undefined);
  const middle = b.within(path, () => b.add(x, attended));
  const after = layerNorm(b, middle, { path: `${path}.layernorm_after`, width, epsilon });
  const result = plainMlp(b, after, {
    inward: `${path}.intermediate.dense`,
    outward: `${path}.output.dense`,
    width,
    inner: config.intermediate_size,
    activation: config.hidden_act,
    layer: linear,
  });
  return b.within(path, () => b.add(middle, result));
};

const finish = (b: GraphBuilder, value: Value, name: string, shape: readonly (string | number)[]): void => {
  b.output(
    b.within('output', () => b.widen(value)),
    name,
    'float32',
    shape,
  );
};

const head = (b: GraphBuilder, x: Value, prefix: string, config: Config, task: Task): void => {
  const { hidden_size: width } = config;
  const classes = (path: string, token: Value): Value =>
    linear(b, token, { path, inputs: width, outputs: labelCount(config), bias: true, role: 'classifier' });
  const shape = ['batch_size', labelCount(config)];
  if (task === 'class') {
    const first = b.within('classifier', () => firstToken(b, x));
    finish(b, classes('classifier', first), 'logits', shape);
  } else if (task === 'class-of-two') {
    const [first, second] = b.within('classifier', () => [firstToken(b, x), b.gather(x, b.int(1), 1)]);
    const one = classes('cls_classifier', first!);
    const other = classes('distillation_classifier', second!);
    finish(
      b,
      b.within('classifier', () => b.multiply(b.add(one, other), b.float(0.5))),
      'logits',
      shape,
    );
  } else {
    finish(b, x, 'last_hidden_state', ['batch_size', tokenCount(config), width]);
    const path = `${prefix}pooler`;
    const outputs = config.pooler_output_size ?? width;
    if (!b.options.pooler) b.weights.leaveOut(`${path}.dense.weight`, `${path}.dense.bias`);
    else {
      const first = b.within(path, () => firstToken(b, x));
      const dense = linear(b, first, { path: `${path}.dense`, inputs: width, outputs, bias: true, role: 'pooler' });
      const pooled = b.within(path, () => activate(b, dense, config.pooler_act));
      finish(b, pooled, 'pooler_output', ['batch_size', outputs]);
    }
  }
};

const build = (config: Config & { readonly task: Task }, weights: WeightReader, options: BuildOptions): Program => {
  const b = new GraphBuilder(options, weights);
  const prefix = weights.prefixOf('embeddings.cls_token', config.model_type === 'deit' ? 'deit.' : 'vit.', '');
  const pixels = b.input('pixel_values', 'float32', ['batch_size', config.num_channels, ...config.image_size]);
  const start = embeddings(b, pixels, prefix, config);
  const last = Array.from({ length: config.num_hidden_layers }, (_, index) => index).reduce(
    (x, index) => b.block(index, () => encoderLayer(b, x, `${prefix}encoder.layer.${index}`, config)),
    start,
  );
  const { hidden_size: width, layer_norm_eps: epsilon } = config;
  const normed = layerNorm(b, last, { path: `${prefix}layernorm`, width, epsilon });
  head(b, normed, prefix, config, config.task);
  return b.finish();
};

/** Encoders of images cut into patches. */
export const vit: Family = {
  name: 'vit',
  summary: 'ViT and DeiT, with and without classification heads',
  modelTypes: ['vit', 'deit'],
  build: (config, weights, options) =>
    build(readConfig(config, weights), new WeightReader(weights, options.dtype, renames), options),
};
