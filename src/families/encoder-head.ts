import type { Value } from '../ir/graph.ts';
import type { Shape } from '../ir/shape.ts';
import type { GraphBuilder } from './builder.ts';
import type { EncoderConfig } from './encoder-config.ts';
import { activate } from './layers/activation.ts';
import { embeddingMatrix } from './layers/embedding.ts';
import { linear, tiedHead } from './layers/linear.ts';
import { layerNorm } from './layers/norm.ts';

/** The vector of the first token, (batch, width). */
export const firstToken = (b: GraphBuilder, x: Value): Value => b.gather(x, b.int(0), 1);

const finish = (b: GraphBuilder, value: Value, name: string, shape: Shape): void => {
  b.output(
    b.within('output', () => b.widen(value)),
    name,
    'float32',
    shape,
  );
};

/** tanh(dense(first token)), (batch, width). */
const pooled = (b: GraphBuilder, x: Value, prefix: string, width: number): Value => {
  const path = `${prefix}pooler`;
  const first = b.within(path, () => firstToken(b, x));
  const dense = linear(b, first, { path: `${path}.dense`, inputs: width, outputs: width, bias: true, role: 'pooler' });
  return b.within(path, () => b.op('Tanh', [dense]));
};

/** The vector that a sequence is classified by, and the path of the last layer. */
const classified = (b: GraphBuilder, x: Value, prefix: string, config: EncoderConfig): readonly [Value, string] => {
  const { width, classifier } = config;
  if (classifier === 'pooler') return [pooled(b, x, prefix, width), 'classifier'];
  const [path, last, bend] =
    classifier === 'dense-tanh'
      ? (['classifier.dense', 'classifier.out_proj', 'tanh'] as const)
      : (['pre_classifier', 'classifier', 'relu'] as const);
  const first = b.within(path, () => firstToken(b, x));
  const dense = linear(b, first, { path, inputs: width, outputs: width, bias: true, role: 'pooler' });
  return [b.within(path, () => activate(b, dense, bend)), last];
};

/** Scores of the vocabulary at every token: transform, norm, and the embedding matrix turned round. */
const maskedToken = (b: GraphBuilder, x: Value, prefix: string, config: EncoderConfig): Value => {
  const { names, width, epsilon, vocabulary, transformActivation } = config;
  const { transform, decoder: path, decoderBias } = names;
  const dense = linear(b, x, { path: transform, inputs: width, outputs: width, bias: true, role: 'pooler' });
  const bent = b.within(transform, () => activate(b, dense, transformActivation));
  const normed = layerNorm(b, bent, { path: names.transformNorm, width, epsilon });
  const words = { path: `${prefix}embeddings.word_embeddings`, entries: vocabulary, width };
  if (config.tied) b.weights.leaveOut(`${path}.weight`, `${path}.bias`);
  const scores = config.tied
    ? tiedHead(b, normed, path, embeddingMatrix(b, words))
    : linear(b, normed, { path, inputs: width, outputs: vocabulary, bias: false, role: 'head' });
  const bias = b.weight(decoderBias, () => b.weights.take(decoderBias, [vocabulary]));
  return b.within(path, () => b.add(scores, bias));
};

/** Makes the outputs of an encoder's task from the last hidden state (batch, sequence, width). */
export const encoderHead = (b: GraphBuilder, x: Value, prefix: string, config: EncoderConfig): void => {
  const { task, width, labels } = config;
  const perToken = ['batch_size', 'sequence_length'];
  const poolerNames = [`${prefix}pooler.dense.weight`, `${prefix}pooler.dense.bias`];
  switch (task) {
    case 'hidden-state':
      finish(b, x, 'last_hidden_state', [...perToken, width]);
      if (b.options.pooler && config.classifier !== 'dense-relu')
        finish(b, pooled(b, x, prefix, width), 'pooler_output', ['batch_size', width]);
      else b.weights.leaveOut(...poolerNames);
      return;
    case 'masked-token':
      finish(b, maskedToken(b, x, prefix, config), 'logits', [...perToken, config.vocabulary]);
      return;
    case 'token-class': {
      const site = { path: 'classifier', inputs: width, outputs: labels, bias: true, role: 'classifier' } as const;
      finish(b, linear(b, x, site), 'logits', [...perToken, labels]);
      return;
    }
    case 'answer-span': {
      const site = { path: 'qa_outputs', inputs: width, outputs: 2, bias: true, role: 'classifier' } as const;
      const both = linear(b, x, site);
      const ends = b.within('qa_outputs', () => b.split(both, -1, [1, 1]).map((part) => b.squeeze(part, [2])));
      finish(b, ends[0]!, 'start_logits', perToken);
      finish(b, ends[1]!, 'end_logits', perToken);
      return;
    }
    case 'sequence-class': {
      const [vector, path] = classified(b, x, prefix, config);
      const site = { path, inputs: width, outputs: labels, bias: true, role: 'classifier' } as const;
      finish(b, linear(b, vector, site), 'logits', ['batch_size', labels]);
      return;
    }
  }
};
