import { addDims, divideDimsExactly, floorDivideDims, maxDims, multiplyDims } from '../dimension.ts';
import type { Dim, Shape } from '../shape.ts';
import type { Call, Rule, RuleTable } from './call.ts';
import { convolutionRules } from './convolution.ts';
import { sameAsFirst } from './elementwise.ts';
import { tensorFact } from './fact.ts';
import { lastDimReplaced, matmulRules, productShape } from './matmul.ts';
import { statisticsShape } from './normalization.ts';
import { quantizationRules } from './quantization.ts';
import { recurrentRules } from './recurrent.ts';
import { broadcastShapes, sumOfDims, withDim } from './shapes.ts';

/** Operators of the domain com.microsoft (onnxruntime's contributed operators). */

/** A (…, K) and a weight of N rows and K columns given by attributes → (…, N). */
const blockQuantizedMatmul: Rule = (call) => [
  tensorFact(call.dtype(0), lastDimReplaced(call, call.node.int('K') ?? null, call.node.int('N') ?? null)),
];

/** data (packed bytes or 4-bit elements), indices, scales → rows in the type of the scales. */
const gatherBlockQuantized: Rule = (call) => {
  const [data, indices] = [call.shape(0), call.shape(1)];
  if (!data || !indices) return [tensorFact(call.dtype(2))];
  const axis = call.axis(call.node.int('gather_axis', 0), data.length);
  const perByte = call.dtype(0) === 'uint8' ? 8 / call.node.int('bits', 4) : 1;
  const whole = withDim(data, data.length - 1, multiplyDims(data.at(-1) ?? null, perByte));
  return [tensorFact(call.dtype(2), [...whole.slice(0, axis), ...indices, ...whole.slice(axis + 1)])];
};

/** Y and the statistics; see LayerNormalization. */
const simplifiedLayerNormalization: Rule = (call) => [
  tensorFact(call.dtype(1) ?? call.dtype(0), call.shape(0)),
  tensorFact('float32', statisticsShape(call, -1)),
];

/** Y, mean, inverse deviation, and the sum of input, skip and bias. */
const skipLayerNormalization: Rule = (call) => {
  const statistics = tensorFact(
    'float32',
    call.shape(0)?.map((dim, axis, all) => (axis === all.length - 1 ? 1 : dim)),
  );
  const y = tensorFact(call.dtype(0), call.shape(0));
  return [y, statistics, statistics, y];
};

/** Word, position and segment embeddings summed and normalised: (batch, sequence, hidden), mask index (batch), the sum. */
const embedLayerNormalization: Rule = (call) => {
  const ids = call.shapeOfRank(0, 2);
  const y = tensorFact(call.dtype(2), [ids?.[0] ?? null, ids?.[1] ?? null, call.shape(2)?.[1] ?? null]);
  return [y, tensorFact('int32', [ids?.[0] ?? null]), y];
};

/** Keys and values of all positions: (batch, heads, past + new, size). */
const presentShape = (call: Call, pastIndex: number, heads: Dim, added: Dim, size: Dim): Shape => {
  const past = call.shape(pastIndex);
  const batch = past?.[0] ?? call.shape(0)?.[0] ?? null;
  return [batch, heads, addDims(call.has(pastIndex) ? (past?.[2] ?? null) : 0, added), past?.[3] ?? size];
};

/** Query (batch, sequence, heads * size), or with packed key and value. Outputs: y, present key, present value. */
const groupQueryAttention: Rule = (call) => {
  const query = call.shapeOfRank(0, 3);
  const heads = call.node.int('num_heads', 1);
  const keyHeads = call.node.int('kv_num_heads', heads);
  const size = divideDimsExactly(query?.[2] ?? null, call.has(1) ? heads : heads + 2 * keyHeads);
  const grown = presentShape(call, 3, keyHeads, query?.[1] ?? null, size);
  const total = call.contents(6)?.[0];
  const shared = call.shape(3)?.[2] ?? null;
  const length = total === undefined || total === null ? grown[2]! : maxDims(shared ?? 0, total);
  const present = tensorFact(call.dtype(3) ?? call.dtype(0), withDim(grown, 2, length));
  const y = query && [query[0]!, query[1]!, multiplyDims(size, heads)];
  return [tensorFact(call.dtype(0), y), present, present];
};

/** Query, key, value (batch, sequence, heads * size), or key and value (batch, heads, sequence, size). */
const multiHeadAttention: Rule = (call) => {
  const heads = call.node.int('num_heads', 1);
  const [query, key, value] = [call.shape(0), call.shape(1), call.shape(2)];
  const packed = query?.length === 5;
  const hidden = (shape: Shape | undefined): Dim =>
    shape?.length === 4 ? multiplyDims(shape[1]!, shape[3]!) : (shape?.[2] ?? null);
  const width = packed ? multiplyDims(query[2]!, query[4]!) : value ? hidden(value) : hidden(query);
  const added = packed ? query[1]! : key ? (key.length === 4 ? key[2]! : key[1]!) : (query?.[1] ?? null);
  const y = query && [query[0]!, query[1]!, width];
  return [
    tensorFact(call.dtype(0), y),
    tensorFact(call.dtype(0), presentShape(call, 6, heads, added, floorDivideDims(hidden(key ?? query), heads))),
    tensorFact(call.dtype(0), presentShape(call, 7, heads, added, divideDimsExactly(width, heads))),
  ];
};

/** Input (batch, sequence, in), weights (in, q + k + v) → y (batch, sequence, v), present (2, batch, heads, total, size). */
const fusedAttention: Rule = (call) => {
  const [x, weights, past] = [call.shapeOfRank(0, 3), call.shapeOfRank(1, 2), call.shape(4)];
  const heads = call.node.int('num_heads', 1);
  const sizes = call.node.ints('qkv_hidden_sizes');
  const hidden = sizes?.[2] ?? divideDimsExactly(weights?.[1] ?? null, 3);
  const total = addDims(past?.[3] ?? 0, x?.[1] ?? null);
  const present: Shape = [2, x?.[0] ?? null, heads, total, divideDimsExactly(hidden, heads)];
  return [tensorFact(call.dtype(0), x && [x[0]!, x[1]!, hidden]), tensorFact(call.dtype(0), present)];
};

const swapLast = (shape: Shape | undefined): Shape | undefined =>
  shape && shape.length > 1 ? [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!] : shape;

/** transBatch moves the first axis behind the batch axes: (rows, batch…, columns) → (batch…, rows, columns). */
const batchMoved = (shape: Shape | undefined): Shape | undefined =>
  shape && shape.length > 2 ? [...shape.slice(1, -1), shape[0]!, shape.at(-1)!] : shape;

const fusedMatmul: Rule = (call) => {
  const operand = (index: number, letter: string): Shape | undefined => {
    const moved = call.node.int(`transBatch${letter}`, 0) === 1 ? batchMoved(call.shape(index)) : call.shape(index);
    return call.node.int(`trans${letter}`, 0) === 1 ? swapLast(moved) : moved;
  };
  return [tensorFact(call.dtype(0) ?? call.dtype(1), productShape(call, operand(0, 'A'), operand(1, 'B')))];
};

/** A in float, B quantized when the graph runs or before: the product in float. */
const dynamicQuantizeMatmul: Rule = (call) => [
  tensorFact(call.dtype(0), productShape(call, call.shape(0), call.shape(1))),
];

const integerMatmulToFloat: Rule = (call) => [
  tensorFact(call.dtype(2), productShape(call, call.shape(0), call.shape(1))),
];

/** a, scale, zero, b, scale, zero, y scale, y zero */
const quantizedBinary: Rule = (call) => [
  tensorFact(call.dtype(0), broadcastShapes(call, [call.shape(0), call.shape(3)])),
];

/** condition, x, scale, zero, y, scale, zero, z scale, z zero */
const quantizedWhere: Rule = (call) => [
  tensorFact(call.dtype(1), broadcastShapes(call, [call.shape(0), call.shape(1), call.shape(4)])),
];

/** y scale, y zero, then (x, scale, zero) for each part. */
const quantizedConcat: Rule = (call) => {
  const parts = call.node.inputs.flatMap((_, index) => (index >= 2 && index % 3 === 2 ? [call.shape(index)] : []));
  const first = parts[0];
  if (!first) return [tensorFact(call.dtype(2))];
  const axis = call.axis(call.node.int('axis', 0), first.length);
  return [tensorFact(call.dtype(2), withDim(first, axis, sumOfDims(parts.map((part) => part?.[axis] ?? null))))];
};

/** a, scale, zero, b, scale, zero, c, y scale, y zero: float where no output scale is given. */
const quantizedGemm: Rule = (call) => {
  const a = call.node.int('transA', 0) === 1 ? swapLast(call.shape(0)) : call.shape(0);
  const b = call.node.int('transB', 0) === 1 ? swapLast(call.shape(3)) : call.shape(3);
  return [tensorFact(call.has(7) ? (call.dtype(8) ?? call.dtype(0)) : 'float32', productShape(call, a, b))];
};

const quantizedGlobalPool: Rule = (call) => {
  const channelsLast = call.node.int('channels_last', 0) === 1;
  const x = call.shape(0);
  const shape = x?.map((dim, axis) => (axis === 0 || axis === (channelsLast ? x.length - 1 : 1) ? dim : 1));
  return [tensorFact(call.dtype(0), shape)];
};

/** Half of the last axis gates the other half. */
const splitGelu: Rule = (call) => {
  const x = call.shape(0);
  return [tensorFact(call.dtype(0), x && withDim(x, x.length - 1, divideDimsExactly(x.at(-1) ?? null, 2)))];
};

const keepFirst = [
  'BiasAdd',
  'BiasDropout',
  'BiasGelu',
  'BiasSoftmax',
  'FastGelu',
  'Gelu',
  'GroupNorm',
  'Inverse',
  'MoE',
  'QLinearLeakyRelu',
  'QLinearSigmoid',
  'QLinearSoftmax',
  'QMoE',
  'QuickGelu',
  'RotaryEmbedding',
  'GemmaRotaryEmbedding',
  'SkipGroupNorm',
  'Trilu',
] as const;

const { Conv: convolution, QLinearConv: quantizedConvolution } = convolutionRules;
const { LSTM: recurrent } = recurrentRules;

export const microsoftRules: RuleTable = {
  ...Object.fromEntries(keepFirst.map((op) => [op, sameAsFirst])),
  Attention: fusedAttention,
  BiasSplitGelu: splitGelu,
  DequantizeLinear: quantizationRules.DequantizeLinear!,
  DynamicQuantizeLSTM: recurrent!,
  DynamicQuantizeMatMul: dynamicQuantizeMatmul,
  EmbedLayerNormalization: embedLayerNormalization,
  FusedConv: convolution!,
  FusedGemm: matmulRules.Gemm!,
  FusedMatMul: fusedMatmul,
  GatherBlockQuantized: gatherBlockQuantized,
  GroupQueryAttention: groupQueryAttention,
  MatMulBnb4: blockQuantizedMatmul,
  MatMulIntegerToFloat: integerMatmulToFloat,
  MatMulNBits: blockQuantizedMatmul,
  MultiHeadAttention: multiHeadAttention,
  QGemm: quantizedGemm,
  QLinearAdd: quantizedBinary,
  QLinearConcat: quantizedConcat,
  QLinearConv: quantizedConvolution!,
  QLinearGlobalAveragePool: quantizedGlobalPool,
  QLinearMul: quantizedBinary,
  QLinearWhere: quantizedWhere,
  QuantizeLinear: quantizationRules.QuantizeLinear!,
  SimplifiedLayerNormalization: simplifiedLayerNormalization,
  SkipLayerNormalization: skipLayerNormalization,
  SkipSimplifiedLayerNormalization: skipLayerNormalization,
};

/** onnxruntime registers this one in the standard domain as well. */
export const microsoftRulesInStandardDomain: RuleTable = {
  SimplifiedLayerNormalization: simplifiedLayerNormalization,
};
