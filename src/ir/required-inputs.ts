import type { Node } from './graph.ts';

/** Operators of the standard domain by how many leading inputs they cannot do without; one where not listed here. */
const leading: Readonly<Record<number, readonly string[]>> = {
  0: ['Constant', 'RandomNormal', 'RandomUniform', 'SequenceEmpty', 'Optional', 'OptionalHasElement', 'Loop', 'Scan'],
  2: [
    'Add',
    'AffineGrid',
    'And',
    'BitShift',
    'BitwiseAnd',
    'BitwiseOr',
    'BitwiseXor',
    'CastLike',
    'CenterCropPad',
    'Compress',
    'Conv',
    'ConvInteger',
    'ConvTranspose',
    'CumSum',
    'DequantizeLinear',
    'Div',
    'Equal',
    'Expand',
    'Gather',
    'GatherElements',
    'GatherND',
    'Gemm',
    'Greater',
    'GreaterOrEqual',
    'GridSample',
    'LayerNormalization',
    'Less',
    'LessOrEqual',
    'MatMul',
    'MatMulInteger',
    'MaxRoiPool',
    'MaxUnpool',
    'Mod',
    'Mul',
    'NegativeLogLikelihoodLoss',
    'NonMaxSuppression',
    'Or',
    'PRelu',
    'Pow',
    'QuantizeLinear',
    'ReverseSequence',
    'RMSNormalization',
    'SequenceAt',
    'SequenceInsert',
    'SimplifiedLayerNormalization',
    'SoftmaxCrossEntropyLoss',
    'STFT',
    'StringConcat',
    'Sub',
    'Xor',
  ],
  3: [
    'Attention',
    'Col2Im',
    'DeformConv',
    'GRU',
    'GroupNormalization',
    'InstanceNormalization',
    'LSTM',
    'OneHot',
    'RNN',
    'Range',
    'RoiAlign',
    'RotaryEmbedding',
    'Scatter',
    'ScatterElements',
    'ScatterND',
    'TensorScatter',
    'Where',
  ],
  5: ['BatchNormalization', 'MelWeightMatrix'],
  8: ['QLinearConv', 'QLinearMatMul'],
};

const countByOp = new Map(
  Object.entries(leading).flatMap(([count, ops]) => ops.map((op) => [op, Number(count)] as const)),
);

/** Operators that take attributes as inputs from an operator set on: from then they need so many. */
const since: Readonly<Record<string, readonly [opset: number, count: number]>> = {
  Pad: [11, 2],
  Reshape: [5, 2],
  Slice: [10, 3],
  Tile: [6, 2],
  TopK: [10, 2],
  Unsqueeze: [13, 2],
  Upsample: [9, 2],
};

/** How many leading inputs a node must have; 0 for operators of other domains. */
export const requiredInputCount = (node: Node, opset: number): number => {
  if (node.domain !== '') return 0;
  const later = since[node.op];
  if (later && opset >= later[0]) return later[1];
  return countByOp.get(node.op) ?? 1;
};
