import type { Use, Value } from '../../ir/graph.ts';
import { roleKey } from '../../ir/model.ts';
import type { Part } from './description.ts';

const partOfRole: Readonly<Record<string, Part>> = {
  embedding: 'embedding',
  'position-embedding': 'embedding',
  'type-embedding': 'embedding',
  'patch-embedding': 'embedding',
  q: 'attention',
  k: 'attention',
  v: 'attention',
  qkv: 'attention',
  o: 'attention',
  gate: 'mlp',
  up: 'mlp',
  down: 'mlp',
  router: 'mlp',
  'expert-gate': 'mlp',
  'expert-up': 'mlp',
  'expert-down': 'mlp',
  pooler: 'head',
  classifier: 'head',
  head: 'head',
};

const partOfOperator: Readonly<Record<string, Part>> = {
  Gather: 'embedding',
  GatherBlockQuantized: 'embedding',
  EmbedLayerNormalization: 'embedding',
  Attention: 'attention',
  MultiHeadAttention: 'attention',
  GroupQueryAttention: 'attention',
  QMoE: 'mlp',
  MoE: 'mlp',
  MatMul: 'linear',
  Gemm: 'linear',
  FusedMatMul: 'linear',
  MatMulNBits: 'linear',
  MatMulBnb4: 'linear',
  MatMulInteger: 'linear',
  MatMulIntegerToFloat: 'linear',
  DynamicQuantizeMatMul: 'linear',
  QLinearMatMul: 'linear',
  QGemm: 'linear',
  Conv: 'convolution',
  ConvTranspose: 'convolution',
  ConvInteger: 'convolution',
  QLinearConv: 'convolution',
  FusedConv: 'convolution',
  LSTM: 'recurrent',
  GRU: 'recurrent',
  RNN: 'recurrent',
  DynamicQuantizeLSTM: 'recurrent',
  BatchNormalization: 'normalization',
  InstanceNormalization: 'normalization',
  GroupNormalization: 'normalization',
  LayerNormalization: 'normalization',
  RMSNormalization: 'normalization',
  SimplifiedLayerNormalization: 'normalization',
  SkipLayerNormalization: 'normalization',
  SkipSimplifiedLayerNormalization: 'normalization',
};

/** Operators that hand a constant on in another form. */
const passing = new Set([
  'Cast',
  'Concat',
  'DequantizeLinear',
  'Identity',
  'QuantizeLinear',
  'Reshape',
  'Slice',
  'Split',
  'Squeeze',
  'Transpose',
  'Unsqueeze',
]);

const partOfUse = ({ node, index }: Use): Part | undefined => {
  if (node.op === 'Gather' && index !== 0) return undefined;
  return partOfRole[node.metadata.get(roleKey) ?? ''] ?? partOfOperator[node.op];
};

/** The part of the first operator that does something with a constant. */
export const partOf = (constant: Value): Part => {
  const seen = new Set<Value>([constant]);
  for (const value of seen)
    for (const use of value.uses) {
      const part = partOfUse(use);
      if (part) return part;
      if (passing.has(use.node.op)) for (const output of use.node.outputs) if (output) seen.add(output);
    }
  return 'other';
};
