import type { Node } from '../../ir/graph.ts';
import type { Rule } from '../rule.ts';
import {
  addRule,
  clipRule,
  divideRule,
  extremumRule,
  logSoftmaxRule,
  multiplyRule,
  parametricReluRule,
  powerRule,
  softmaxRule,
  subtractRule,
  sumRule,
  whereRule,
} from './binary.ts';
import { convolutionRule, transposedConvolutionRule } from './convolution.ts';
import { gatherElementsRule, gatherNdRule, gatherRule, padRule, scatterRule, sliceRule } from './indexing.ts';
import { einsumRule, gemmRule, matmulRule } from './matmul.ts';
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
  skipRmsNormalizationRule,
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
  QuantizeLinear: quantizeRule,
  DequantizeLinear: dequantizeRule,
};

/** Gradient rules of onnxruntime's own operators. */
const microsoftRules: Readonly<Record<string, Rule>> = {
  ...fromDerivatives(microsoftDerivatives),
  SkipSimplifiedLayerNormalization: skipRmsNormalizationRule,
};

/** Operators whose output does not change with small changes of their inputs: the way to the loss ends there. */
const constantOperators = new Set([
  'Shape',
  'Size',
  'Constant',
  'ConstantOfShape',
  'Range',
  'ArgMax',
  'ArgMin',
  'NonZero',
  'Equal',
  'Greater',
  'GreaterOrEqual',
  'Less',
  'LessOrEqual',
  'And',
  'Or',
  'Not',
  'Xor',
  'Sign',
  'Floor',
  'Ceil',
  'Round',
  'IsNaN',
  'IsInf',
  'OneHot',
  'EyeLike',
  'RandomNormal',
  'RandomUniform',
  'RandomNormalLike',
  'RandomUniformLike',
  'Multinomial',
  'Bernoulli',
]);

const isStandard = (domain: string): boolean => domain === '' || domain === 'ai.onnx';

export const isConstantOperator = (node: Node): boolean => isStandard(node.domain) && constantOperators.has(node.op);

/** The gradient rule of a node's operator; undefined where there is none. */
export const ruleOf = (node: Node): Rule | undefined => {
  if (isStandard(node.domain)) return standardRules[node.op];
  return node.domain === 'com.microsoft' ? microsoftRules[node.op] : undefined;
};
