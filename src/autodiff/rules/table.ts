import { isFloat } from '../../ir/data-type.ts';
import type { Node, Value } from '../../ir/graph.ts';
import type { Rule } from '../rule.ts';
import {
  addRule,
  clipRule,
  divideRule,
  extremumRule,
  logSoftmaxRule,
  moduloRule,
  multiplyRule,
  parametricReluRule,
  powerRule,
  softmaxRule,
  subtractRule,
  sumRule,
  whereRule,
} from './binary.ts';
import { convolutionRule, transposedConvolutionRule } from './convolution.ts';
import { einsumRule } from './einsum.ts';
import { gatherElementsRule, gatherNdRule, gatherRule, padRule, scatterRule, sliceRule } from './indexing.ts';
import { gemmRule, matmulRule } from './matmul.ts';
import {
  castRule,
  concatRule,
  cumulativeSumRule,
  depthToSpaceRule,
  dropoutRule,
  expandRule,
  identityRule,
  reshapeRule,
  spaceToDepthRule,
  splitRule,
  tileRule,
  transposeRule,
  triluRule,
} from './movement.ts';
import {
  batchNormalizationRule,
  groupNormalizationRule,
  instanceNormalizationRule,
  layerNormalizationRule,
  localResponseRule,
  rmsNormalizationRule,
} from './normalization.ts';
import { averagePoolRule, globalAverageRule, globalMaximumRule, maxPoolRule } from './pooling.ts';
import { dequantizeRule, quantizeRule } from './quantization.ts';
import {
  reduceExtremumRule,
  reduceL1Rule,
  reduceL2Rule,
  reduceLogSumExpRule,
  reduceLogSumRule,
  reduceMeanRule,
  reduceProdRule,
  reduceSumRule,
  reduceSumSquareRule,
} from './reduce.ts';
import { resizeRule } from './resize.ts';
import { centerCropPadRule, compressRule, maxUnpoolRule, reverseSequenceRule, topKRule } from './selection.ts';
import { derivatives, elementwise, microsoftDerivatives } from './unary.ts';

const fromDerivatives = (table: typeof derivatives): Record<string, Rule> =>
  Object.fromEntries(Object.entries(table).map(([op, derivative]) => [op, elementwise(derivative)]));

/** Gradient rules of the standard domain, by operator. */
const standardRules: Readonly<Record<string, Rule>> = {
  ...fromDerivatives(derivatives),
  Add: addRule,
  Sub: subtractRule,
  Mul: multiplyRule,
  Div: divideRule,
  Pow: powerRule,
  Max: extremumRule,
  Min: extremumRule,
  Sum: sumRule('sum'),
  Mean: sumRule('mean'),
  Where: whereRule,
  PRelu: parametricReluRule,
  Clip: clipRule,
  Mod: moduloRule,
  Softmax: softmaxRule,
  LogSoftmax: logSoftmaxRule,
  MatMul: matmulRule,
  Gemm: gemmRule,
  Einsum: einsumRule,
  Conv: convolutionRule,
  ConvTranspose: transposedConvolutionRule,
  BatchNormalization: batchNormalizationRule,
  InstanceNormalization: instanceNormalizationRule,
  GroupNormalization: groupNormalizationRule,
  LayerNormalization: layerNormalizationRule,
  RMSNormalization: rmsNormalizationRule,
  SimplifiedLayerNormalization: rmsNormalizationRule,
  LRN: localResponseRule,
  MaxPool: maxPoolRule,
  MaxUnpool: maxUnpoolRule,
  AveragePool: averagePoolRule,
  GlobalAveragePool: globalAverageRule,
  GlobalMaxPool: globalMaximumRule,
  ReduceSum: reduceSumRule,
  ReduceMean: reduceMeanRule,
  ReduceMax: reduceExtremumRule,
  ReduceMin: reduceExtremumRule,
  ReduceProd: reduceProdRule,
  ReduceL1: reduceL1Rule,
  ReduceL2: reduceL2Rule,
  ReduceLogSum: reduceLogSumRule,
  ReduceLogSumExp: reduceLogSumExpRule,
  ReduceSumSquare: reduceSumSquareRule,
  Identity: identityRule,
  Cast: castRule,
  CastLike: castRule,
  Dropout: dropoutRule,
  Reshape: reshapeRule,
  Flatten: reshapeRule,
  Squeeze: reshapeRule,
  Unsqueeze: reshapeRule,
  Transpose: transposeRule,
  Concat: concatRule,
  Split: splitRule,
  Expand: expandRule,
  Tile: tileRule,
  Trilu: triluRule,
  CumSum: cumulativeSumRule,
  DepthToSpace: depthToSpaceRule,
  SpaceToDepth: spaceToDepthRule,
  Gather: gatherRule,
  GatherElements: gatherElementsRule,
  GatherND: gatherNdRule,
  ScatterElements: scatterRule('ScatterElements', 'GatherElements'),
  ScatterND: scatterRule('ScatterND', 'GatherND'),
  Slice: sliceRule,
  Pad: padRule,
  Resize: resizeRule,
  TopK: topKRule,
  Compress: compressRule,
  ReverseSequence: reverseSequenceRule,
  CenterCropPad: centerCropPadRule,
  QuantizeLinear: quantizeRule,
  DequantizeLinear: dequantizeRule,
};

/** Gradient rules of onnxruntime's own operators. */
const microsoftRules: Readonly<Record<string, Rule>> = {
  ...fromDerivatives(microsoftDerivatives),
  SimplifiedLayerNormalization: rmsNormalizationRule,
  QuantizeLinear: quantizeRule,
  DequantizeLinear: dequantizeRule,
};

/** Operators whose output does not change with small changes of their inputs: the way to the loss ends there. */
const constantOperators = new Set(
  `And ArgMax ArgMin Bernoulli BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Ceil Constant
  ConstantOfShape Equal EyeLike Floor Greater GreaterOrEqual HammingWindow HannWindow Hardmax IsInf IsNaN Less
  LessOrEqual MelWeightMatrix Multinomial NonMaxSuppression NonZero Not OneHot OptionalHasElement Or RandomNormal
  RandomNormalLike RandomUniform RandomUniformLike Range RegexFullMatch Round SequenceLength Shape Sign Size
  TfIdfVectorizer Unique Xor`.split(/\s+/),
);

const isStandard = (domain: string): boolean => domain === '' || domain === 'ai.onnx';

/** Operators that take floats to integers, yet are differentiated straight through. */
const straightThrough = new Set(['QuantizeLinear']);

const givesNoFloat = (value: Value | undefined): boolean => {
  const type = value?.type;
  return value === undefined || (type?.kind === 'tensor' && type.dtype !== undefined && !isFloat(type.dtype));
};

/**
 * Whether small changes of a node's inputs change nothing: by its operator, or because all that it gives are integers
 * or truth values.
 */
export const isConstantNode = (node: Node): boolean => {
  if (isStandard(node.domain) && constantOperators.has(node.op)) return true;
  return !straightThrough.has(node.op) && node.outputs.every(givesNoFloat);
};

/** The gradient rule of a node's operator; undefined where there is none. */
export const ruleOf = (node: Node): Rule | undefined => {
  if (isStandard(node.domain)) return standardRules[node.op];
  return node.domain === 'com.microsoft' ? microsoftRules[node.op] : undefined;
};
