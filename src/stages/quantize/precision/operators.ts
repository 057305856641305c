import type { Node } from '../../../ir/graph.ts';

/** Operators that half-precision kernels are not defined for (or whose scales must be float32 before opset 19). */
const float32Only = new Set([
  'NonMaxSuppression',
  'QuantizeLinear',
  'DequantizeLinear',
  'DynamicQuantizeLinear',
  'QLinearConv',
  'QLinearMatMul',
  'MatMulInteger',
  'ConvInteger',
  'Crop',
  'ImageScaler',
  'Affine',
  'ParametricSoftplus',
  'ScaledTanh',
  'ThresholdedRelu',
  'MelWeightMatrix',
  'StringNormalizer',
]);

/** Operators of the com.microsoft domain that exist in half precision. */
const microsoftInHalf = new Set([
  'Attention',
  'BiasGelu',
  'BiasSplitGelu',
  'FastGelu',
  'FusedConv',
  'FusedGemm',
  'FusedMatMul',
  'GatherBlockQuantized',
  'Gelu',
  'GroupNorm',
  'GroupQueryAttention',
  'MatMulBnb4',
  'MatMulNBits',
  'MultiHeadAttention',
  'QMoE',
  'QuickGelu',
  'RotaryEmbedding',
  'SimplifiedLayerNormalization',
  'SkipLayerNormalization',
  'SkipSimplifiedLayerNormalization',
]);

/** Standard-domain operators that onnxruntime registers in ONNX's own domain. */
const loops = new Set(['Loop', 'Scan', 'SequenceMap']);

/** Why a node cannot compute in half precision; undefined when it can. */
export const halfObstacle = (node: Node): string | undefined => {
  if (node.domain === '') {
    if (float32Only.has(node.op)) return `${node.op} has no half-precision form`;
    return loops.has(node.op) ? `the body of a ${node.op} carries its state in float32` : undefined;
  }
  if (node.domain === 'com.microsoft' && microsoftInHalf.has(node.op)) return undefined;
  return `${node.domain}.${node.op} is not known to have a half-precision form`;
};

/** Inputs that stay float32 whatever the node computes in, by operator. */
const float32Inputs: Readonly<Record<string, readonly number[]>> = {
  Resize: [2],
  Upsample: [1],
  Dropout: [1],
};

export const staysFloat32 = (node: Node, index: number): boolean =>
  node.domain === '' && (float32Inputs[node.op]?.includes(index) ?? false);

/**
 * Operators whose results leave half precision's range or lose what matters in it, however ordinary their inputs are:
 * sums of many squares, powers, logarithms, running sums and angles (a position above 2048 is no half-precision number).
 */
export const delicateOperators: ReadonlySet<string> = new Set([
  'Cos',
  'CumSum',
  'Exp',
  'Log',
  'Pow',
  'Range',
  'ReduceL1',
  'ReduceL2',
  'ReduceLogSum',
  'ReduceLogSumExp',
  'ReduceMean',
  'ReduceProd',
  'ReduceSum',
  'ReduceSumSquare',
  'Sin',
  'Sqrt',
  'Tan',
]);
