import type { Program, Value } from '../ir/graph.ts';
import { GraphBuilder } from './builder.ts';
import type { DecoderConfig } from './decoder-config.ts';
import type { BuildOptions } from './family.ts';
import { decoderAttention } from './layers/decoder-attention.ts';
import { type DecoderShared, prepareShared } from './layers/decoder-core.ts';
import { embed, embeddingMatrix } from './layers/embedding.ts';
import { expertMlp } from './layers/experts.ts';
import { linear, tiedHead } from './layers/linear.ts';
import { gatedMlp } from './layers/mlp.ts';
import { rmsNorm } from './layers/norm.ts';
import { sequenceOf, tokenShape } from './layers/sequence.ts';
import type { WeightReader } from './weights.ts';

const scaled = (b: GraphBuilder, x: Value, factor: number): Value =>
  factor === 1 ? x : b.multiply(x, b.float(factor));

/** Names of the two or four norms of a layer. */
const normNames = {
  before: { attention: 'input_layernorm', mlp: 'post_attention_layernorm' },
  around: {
    attention: 'input_layernorm',
    afterAttention: 'post_attention_layernorm',
    mlp: 'pre_feedforward_layernorm',
    afterMlp: 'post_feedforward_layernorm',
  },
} as const;

const decoderLayer = (
  b: GraphBuilder,
  x: Value,
  path: string,
  index: number,
  config: DecoderConfig,
  shared: DecoderShared,
): Value => {
  const { width, epsilon, gain, activation, residualScale } = config;
  const layer = config.layers[index]!;
  const norm = (value: Value, name: string): Value =>
    rmsNorm(b, value, { path: `${path}.${name}`, width, epsilon, gain });
  const names = normNames[config.norms];
  const join = (residual: Value, result: Value, after: string | undefined): Value => {
    const normed = after === undefined ? result : norm(result, after);
    return b.within(path, () => b.add(residual, scaled(b, normed, residualScale)));
  };
  const attended = decoderAttention(
    b,
    norm(x, names.attention),
    { path: `${path}.self_attn`, index, config, layer },
    shared,
  );
  const middle = join(x, attended, 'afterAttention' in names ? names.afterAttention : undefined);
  const input = norm(middle, names.mlp);
  const { mlp } = layer;
  const result =
    mlp.kind === 'gated'
      ? gatedMlp(b, input, { path: `${path}.mlp`, width, activation, ...mlp })
      : expertMlp(b, input, { path: `${path}.${mlp.module}`, width, activation, mlp });
  return join(middle, result, 'afterMlp' in names ? names.afterMlp : undefined);
};

const head = (b: GraphBuilder, x: Value, prefix: string, config: DecoderConfig): void => {
  const { vocabulary, width, logitScale, logitSoftcap } = config;
  if (config.head === 'none') {
    b.output(
      b.within('output', () => b.widen(x)),
      'last_hidden_state',
      'float32',
      tokenShape(width),
      0,
    );
    return;
  }
  const path = 'lm_head';
  const logits =
    config.head === 'tied'
      ? tiedHead(b, x, path, embeddingMatrix(b, { path: `${prefix}embed_tokens`, entries: vocabulary, width }))
      : linear(b, x, { path, inputs: width, outputs: vocabulary, bias: false, role: 'head' });
  const finished = b.within(path, () => {
    const shrunk = scaled(b, logits, logitScale);
    if (logitSoftcap === undefined) return b.widen(shrunk);
    const bent = b.op('Tanh', [b.op('Div', [shrunk, b.float(logitSoftcap)])]);
    return b.widen(b.multiply(bent, b.float(logitSoftcap)));
  });
  b.output(finished, 'logits', 'float32', tokenShape(vocabulary), 0);
};

/**
 * The graph of a Llama-like decoder. Outputs: `logits` (batch, sequence, vocabulary), float32, or `last_hidden_state`
 * where the checkpoint has no head, and in the generation layout `present.N.key` and `.value`.
 */
export const buildDecoder = (config: DecoderConfig, weights: WeightReader, options: BuildOptions): Program => {
  const b = new GraphBuilder(options, weights);
  const prefix = weights.prefixOf('embed_tokens.weight', 'model.', '');
  const { width, vocabulary: entries, keyValueHeads, headSize } = config;
  const sequence = sequenceOf(b, { layers: config.layers.length, heads: keyValueHeads, headSize });
  const tokens = embed(b, sequence.ids, { path: `${prefix}embed_tokens`, entries, width, role: 'embedding' });
  const shared = prepareShared(b, sequence, config.layers, headSize);
  const start = b.within(`${prefix}embed_tokens`, () => scaled(b, tokens, config.embeddingScale));
  const last = config.layers.reduce(
    (x, _layer, index) => b.block(index, () => decoderLayer(b, x, `${prefix}layers.${index}`, index, config, shared)),
    start,
  );
  const { epsilon, gain } = config;
  head(b, rmsNorm(b, last, { path: `${prefix}norm`, width, epsilon, gain }), prefix, config);
  return b.finish();
};
