import type { Program, Value } from '../ir/graph.ts';
import { GraphBuilder } from './builder.ts';
import { type EncoderConfig, readEncoderConfig } from './encoder-config.ts';
import { encoderHead } from './encoder-head.ts';
import type { BuildOptions, Family } from './family.ts';
import { embed, embeddingMatrix } from './layers/embedding.ts';
import { type EncoderMask, encoderAttention } from './layers/encoder-attention.ts';
import { linear } from './layers/linear.ts';
import { plainMlp } from './layers/mlp.ts';
import { layerNorm } from './layers/norm.ts';
import { lowest } from './layers/sequence.ts';
import { type Renames, WeightReader } from './weights.ts';

/** Checkpoints that came from TensorFlow call gain and shift gamma and beta. */
const renames: Renames = [
  [/LayerNorm\.gamma$/, 'LayerNorm.weight'],
  [/LayerNorm\.beta$/, 'LayerNorm.bias'],
];

/** Positions, int64: (sequence), or (batch, sequence) where padding is not counted. */
const positionsOf = (b: GraphBuilder, ids: Value, { positions }: EncoderConfig): Value => {
  if (positions.kind === 'all') return b.range(b.int(0), b.dimension(ids, 1));
  const padding = b.int(positions.padding);
  const real = b.cast(b.op('Not', [b.op('Equal', [ids, padding])]), 'int64');
  return b.add(b.multiply(b.op('CumSum', [real, b.int(1)]), real), padding);
};

/** The sum of a token's, its kind's and its position's vectors, normed: (batch, sequence, width). */
const embeddings = (b: GraphBuilder, ids: Value, prefix: string, config: EncoderConfig): Value => {
  const { width, types, maxPositions } = config;
  const path = `${prefix}embeddings`;
  const words = embed(b, ids, {
    path: `${path}.word_embeddings`,
    entries: config.vocabulary,
    width,
    role: 'embedding',
  });
  const kinds = (): Value => {
    const fields = { path: `${path}.token_type_embeddings`, entries: types, width };
    if (types === 1) return b.gather(embeddingMatrix(b, fields), b.int(0), 0, { name: fields.path });
    const typeIds = b.input('token_type_ids', 'int64', ['batch_size', 'sequence_length']);
    return embed(b, typeIds, { ...fields, role: 'type-embedding' });
  };
  const typed = types === 0 ? words : b.within(path, () => b.add(words, kinds()));
  const places = embed(
    b,
    b.within(path, () => positionsOf(b, ids, config)),
    {
      path: `${path}.position_embeddings`,
      entries: maxPositions,
      width,
      role: 'position-embedding',
    },
  );
  const sum = b.within(path, () => b.add(typed, places));
  return layerNorm(b, sum, { path: `${path}.LayerNorm`, width, epsilon: config.epsilon });
};

const maskOf = (b: GraphBuilder, mask: Value): EncoderMask =>
  b.within('mask', () => {
    if (b.options.fused) return { keys: b.cast(mask, 'int32') };
    const real = b.unsqueeze(b.cast(mask, 'bool'), [1, 2]);
    return { bias: b.op('Where', [real, b.float(0), b.float(lowest[b.options.dtype])]) };
  });

/** Attention and feed-forward layer, each added to its input and then normed (Devlin et al. 2018). */
const encoderLayer = (b: GraphBuilder, x: Value, path: string, config: EncoderConfig, mask: EncoderMask): Value => {
  const { names, width, epsilon } = config;
  const within = (name: string): string => `${path}.${name}`;
  const attended = encoderAttention(
    b,
    x,
    {
      path,
      query: within(names.query),
      key: within(names.key),
      value: within(names.value),
      output: within(names.output),
      width,
      heads: config.heads,
      queryKeyValueBias: true,
    },
    mask,
  );
  const norm = (residual: Value, result: Value, name: string): Value =>
    layerNorm(
      b,
      b.within(path, () => b.add(result, residual)),
      { path: within(name), width, epsilon },
    );
  const middle = norm(x, attended, names.attentionNorm);
  const result = plainMlp(b, middle, {
    inward: within(names.inward),
    outward: within(names.outward),
    width,
    inner: config.inner,
    activation: config.activation,
    layer: linear,
  });
  return norm(middle, result, names.norm);
};

const build = (config: EncoderConfig, weights: WeightReader, options: BuildOptions): Program => {
  const b = new GraphBuilder(options, weights);
  const prefix = weights.prefixOf('embeddings.word_embeddings.weight', config.names.prefix, '');
  const ids = b.input('input_ids', 'int64', ['batch_size', 'sequence_length']);
  const attentionMask = b.input('attention_mask', 'int64', ['batch_size', 'sequence_length']);
  const start = embeddings(b, ids, prefix, config);
  const mask = maskOf(b, attentionMask);
  const last = Array.from({ length: config.layers }, (_, index) => index).reduce(
    (x, index) => b.block(index, () => encoderLayer(b, x, prefix + config.names.layer(index), config, mask)),
    start,
  );
  encoderHead(b, last, prefix, config);
  return b.finish();
};

/** Encoders of text with layer norms after each part. */
export const bert: Family = {
  name: 'bert',
  summary: 'BERT and MiniLM sentence encoders, RoBERTa, XLM-RoBERTa, CamemBERT, DistilBERT, with and without heads',
  modelTypes: ['bert', 'roberta', 'xlm-roberta', 'camembert', 'distilbert'],
  build: (config, weights, options) =>
    build(readEncoderConfig(config, weights), new WeightReader(weights, options.dtype, renames), options),
};
