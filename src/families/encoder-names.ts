/** Module paths of an encoder, relative to its prefix (`bert.`), or of its heads, which have none. */
export interface EncoderNames {
  /** Prefix of the encoder's modules in a checkpoint with a head. */
  readonly prefix: string;
  /** Path of a repeated block. */
  layer(index: number): string;
  /** Paths within a block. */
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly output: string;
  readonly attentionNorm: string;
  readonly inward: string;
  readonly outward: string;
  readonly norm: string;
  /** The head that fills in masked tokens: transform, its norm, projection and the tensor of its bias. */
  readonly transform: string;
  readonly transformNorm: string;
  readonly decoder: string;
  readonly decoderBias: string;
}

const bertLayer = {
  layer: (index: number) => `encoder.layer.${index}`,
  query: 'attention.self.query',
  key: 'attention.self.key',
  value: 'attention.self.value',
  output: 'attention.output.dense',
  attentionNorm: 'attention.output.LayerNorm',
  inward: 'intermediate.dense',
  outward: 'output.dense',
  norm: 'output.LayerNorm',
};

export const bertNames: EncoderNames = {
  ...bertLayer,
  prefix: 'bert.',
  transform: 'cls.predictions.transform.dense',
  transformNorm: 'cls.predictions.transform.LayerNorm',
  decoder: 'cls.predictions.decoder',
  decoderBias: 'cls.predictions.bias',
};

export const robertaNames: EncoderNames = {
  ...bertLayer,
  prefix: 'roberta.',
  transform: 'lm_head.dense',
  transformNorm: 'lm_head.layer_norm',
  decoder: 'lm_head.decoder',
  decoderBias: 'lm_head.bias',
};

export const distilbertNames: EncoderNames = {
  prefix: 'distilbert.',
  layer: (index) => `transformer.layer.${index}`,
  query: 'attention.q_lin',
  key: 'attention.k_lin',
  value: 'attention.v_lin',
  output: 'attention.out_lin',
  attentionNorm: 'sa_layer_norm',
  inward: 'ffn.lin1',
  outward: 'ffn.lin2',
  norm: 'output_layer_norm',
  transform: 'vocab_transform',
  transformNorm: 'vocab_layer_norm',
  decoder: 'vocab_projector',
  decoderBias: 'vocab_projector.bias',
};
