import { describe, it } from 'vitest';
import { checkGradients, checkPrepared, type GradientCase } from './finite-differences.ts';

/** Small enough for softmax and tanh to be smooth within a step. */
const gentle = { range: (normal: number) => normal * 0.4 } as const;
const microsoft = { precision: 'float32', opsets: 'com.microsoft=1' } as const;
const single = { precision: 'float32' } as const;

const layers: readonly GradientCase[] = [
  {
    name: 'SkipLayerNormalization',
    inputs: { x: [2, 3, 8], s: [2, 3, 8], g: [8], b: [8], c: [8] },
    body: 'z = com.microsoft::SkipLayerNormalization(x, s, g, b, c, epsilon=0.001)',
    ...microsoft,
  },
  {
    name: 'SkipLayerNormalization with its sum',
    inputs: { x: [2, 3, 8], s: [2, 3, 8], g: [8], b: [8] },
    body: 'y, _, _, t = com.microsoft::SkipLayerNormalization(x, s, g, b)\nz = Mul(y, t)',
    ...microsoft,
  },
  {
    name: 'SkipSimplifiedLayerNormalization',
    inputs: { x: [2, 3, 8], s: [2, 3, 8], g: [8] },
    body: 'y, _, _, t = com.microsoft::SkipSimplifiedLayerNormalization(x, s, g, epsilon=0.001)\nz = Mul(y, t)',
    ...microsoft,
  },
  {
    name: 'EmbedLayerNormalization',
    inputs: { w: [6, 8], p: [4, 8], k: [2, 8], g: [8], b: [8] },
    body: 'i: int32[2, 3] = [[0, 5, 2], [1, 1, 4]]\nt: int32[2, 3] = [[0, 1, 1], [0, 0, 1]]\nz, n = com.microsoft::EmbedLayerNormalization(i, t, w, p, k, g, b)',
    ...microsoft,
  },
  { name: 'BiasGelu', inputs: { x: [2, 5], b: [5] }, body: 'z = com.microsoft::BiasGelu(x, b)', ...microsoft },
  { name: 'FastGelu', inputs: { x: [2, 5] }, body: 'z = com.microsoft::FastGelu(x)', ...microsoft },
  {
    name: 'FastGelu with a bias',
    inputs: { x: [2, 5], b: [5] },
    body: 'z = com.microsoft::FastGelu(x, b)',
    ...microsoft,
  },
  { name: 'Gelu of onnxruntime', inputs: { x: [2, 5] }, body: 'z = com.microsoft::Gelu(x)', ...microsoft },
  {
    name: 'FusedMatMul',
    inputs: { x: [2, 4, 3], y: [2, 5, 4] },
    body: 'z = com.microsoft::FusedMatMul(x, y, transA=1, transB=1, alpha=0.5)',
    ...microsoft,
  },
  {
    name: 'FusedConv with a sum and an activation',
    inputs: { x: [1, 2, 5, 5], w: [3, 2, 3, 3], b: [3], s: [1, 3, 3, 3] },
    body: 'z = com.microsoft::FusedConv(x, w, b, s, activation="Tanh")',
    ...microsoft,
  },
  {
    name: 'FusedGemm',
    inputs: { x: [3, 4], y: [5, 4], c: [5] },
    body: 'z = com.microsoft::FusedGemm(x, y, c, transB=1, activation="Tanh")',
    ...microsoft,
  },
  { name: 'LpNormalization', inputs: { x: [3, 4] }, body: 'z = LpNormalization(x, axis=0)', ...single },
  {
    name: 'MeanVarianceNormalization',
    inputs: { x: [2, 3, 2, 2] },
    body: 'z = MeanVarianceNormalization(x)',
    ...single,
  },
  {
    name: 'SoftmaxCrossEntropyLoss, weighted, one label ignored',
    inputs: { x: [3, 4, 2] },
    body: 'l: int64[3, 2] = [[0, 3], [-1, 2], [1, 1]]\nw: float32[4] = [0.5, 1, 2, 1.5]\nz = SoftmaxCrossEntropyLoss(x, l, w, ignore_index=-1)',
    ...single,
  },
  {
    name: 'NegativeLogLikelihoodLoss for each label',
    inputs: { x: [3, 4] },
    body: 'l: int64[3] = [0, 3, 1]\nz = NegativeLogLikelihoodLoss(x, l, reduction="none")',
    ...single,
  },
  ...[
    'Affine(x, alpha=2.0, beta=1.0)',
    'ImageScaler(x, scale=2.0, bias=[1.0, 2.0])',
    'Crop(x, border=[1, 0, 2, 1])',
    'Crop(x, border=[1, 2, 0, 0], scale=[2, 3])',
    'ScaledTanh(x, alpha=2.0, beta=0.5)',
    'ParametricSoftplus(x, alpha=2.0, beta=0.5)',
  ].map(
    (call): GradientCase => ({ name: call, inputs: { x: [1, 2, 5, 6] }, body: `z = ${call}`, opset: 7, ...single }),
  ),
  {
    name: 'an If whose condition is a constant',
    inputs: { x: [2, 3] },
    body: 'c: bool = true\nz = If(c, then_branch=graph a() -> (y) { y = Mul(x, x) }, else_branch=graph b() -> (w) { w = Neg(x) })',
  },
  {
    name: 'RNN in both directions',
    inputs: { x: [3, 2, 4], w: [2, 3, 4], r: [2, 3, 3], b: [2, 6], h: [2, 2, 3] },
    body: 'a, l = RNN(x, w, r, b, _, h, hidden_size=3, direction="bidirectional")\ns: int64[4] = [1, 2, 2, 3]\nm = Reshape(l, s)\nz = Add(a, m)',
    ...single,
    ...gentle,
  },
];

const blocks = (seed: number) =>
  `q: uint8[6, 2, 8] = integers(seed=${seed}, low=0, high=256)\ns: float32[6, 2] = random(seed=${seed + 1})\n`;

const quantized: readonly GradientCase[] = [
  {
    name: 'MatMulNBits',
    inputs: { x: [3, 32] },
    body: `${blocks(1)}z = com.microsoft::MatMulNBits(x, q, s, K=32, N=6, bits=4, block_size=16)`,
    ...microsoft,
  },
  {
    name: 'MatMulNBits with zero points',
    inputs: { x: [3, 32] },
    body: `${blocks(3)}p: uint8[6, 1] = integers(seed=9, low=0, high=256)\nz = com.microsoft::MatMulNBits(x, q, s, p, K=32, N=6, bits=4, block_size=16)`,
    ...microsoft,
  },
];

const rotary = 'c: float32[8, 2] = random(seed=1)\ns: float32[8, 2] = random(seed=2)\n';

const attention: readonly GradientCase[] = [
  {
    name: 'Attention of operator set 23, causal, heads sharing keys',
    inputs: { q: [2, 4, 3, 4], k: [2, 2, 3, 4], v: [2, 2, 3, 4] },
    body: 'z = Attention(q, k, v, is_causal=1)',
    opset: 23,
    ...single,
  },
  {
    name: 'Attention of operator set 23, flat, with a mask, a scale and a cap',
    inputs: { q: [2, 3, 8], k: [2, 5, 8], v: [2, 5, 6], m: [3, 5] },
    body: 'z = Attention(q, k, v, m, q_num_heads=2, kv_num_heads=2, scale=0.7, softcap=2.0)',
    opset: 23,
    ...single,
  },
  {
    name: 'Attention of operator set 23 with a truth mask and a past',
    inputs: { q: [1, 2, 3, 4], k: [1, 2, 3, 4], v: [1, 2, 3, 4], a: [1, 2, 2, 4], b: [1, 2, 2, 4] },
    body: 'm: bool[3, 5] = [[true, true, true, false, false], [true, false, true, true, false], [false, true, true, true, true]]\ny, p, r = Attention(q, k, v, m, a, b)\nt = ReduceSum(p)\nz = Add(y, t)',
    opset: 23,
    ...single,
  },
  {
    name: 'RotaryEmbedding of operator set 23, by positions',
    inputs: { x: [2, 2, 3, 4] },
    body: `${rotary}p: int64[2, 3] = [[0, 1, 2], [5, 6, 7]]\nz = RotaryEmbedding(x, c, s, p)`,
    opset: 23,
    ...single,
  },
  {
    name: 'RotaryEmbedding of operator set 23, flat, interleaved, in part',
    inputs: { x: [2, 3, 12] },
    body: 'c: float32[2, 3, 2] = random(seed=1)\ns: float32[2, 3, 2] = random(seed=2)\nz = RotaryEmbedding(x, c, s, interleaved=1, num_heads=2, rotary_embedding_dim=4)',
    opset: 23,
    ...single,
  },
  {
    name: 'RMSNormalization of operator set 23',
    inputs: { x: [2, 3, 5], g: [5] },
    body: 'z = RMSNormalization(x, g, epsilon=0.001)',
    opset: 23,
    ...single,
  },
  {
    name: 'RotaryEmbedding of onnxruntime, by an offset',
    inputs: { x: [2, 3, 8] },
    body: `${rotary}p: int64[1] = [2]\nz = com.microsoft::RotaryEmbedding(x, p, c, s)`,
    ...microsoft,
  },
  {
    name: 'RotaryEmbedding of onnxruntime, by positions, interleaved',
    inputs: { x: [2, 2, 3, 4] },
    body: `${rotary}p: int64[2, 3] = [[0, 1, 2], [5, 6, 7]]\nz = com.microsoft::RotaryEmbedding(x, p, c, s, interleaved=1)`,
    ...microsoft,
  },
  {
    name: 'MultiHeadAttention with a bias and a mask of keys',
    inputs: { q: [2, 3, 8], k: [2, 4, 8], v: [2, 4, 8], b: [24] },
    body: 'm: int32[2, 4] = [[1, 1, 1, 0], [1, 1, 1, 1]]\nz = com.microsoft::MultiHeadAttention(q, k, v, b, m, num_heads=2)',
    ...microsoft,
  },
  {
    name: 'MultiHeadAttention, causal, with a bias of scores and a past',
    inputs: { q: [1, 3, 8], k: [1, 3, 8], v: [1, 3, 8], e: [1, 2, 3, 5], a: [1, 2, 2, 4], d: [1, 2, 2, 4] },
    body: 'y, p, r = com.microsoft::MultiHeadAttention(q, k, v, _, _, e, a, d, num_heads=2, unidirectional=1, scale=0.4)\nt = ReduceSum(r)\nz = Add(y, t)',
    ...microsoft,
  },
  {
    name: 'Attention of onnxruntime',
    inputs: { x: [2, 3, 8], w: [8, 24], b: [24] },
    body: 'm: int32[2, 3] = [[1, 1, 0], [1, 1, 1]]\nz = com.microsoft::Attention(x, w, b, m, num_heads=2)',
    ...microsoft,
    ...gentle,
  },
  {
    name: 'Attention of onnxruntime, causal',
    inputs: { x: [1, 4, 8], w: [8, 24], b: [24] },
    body: 'z = com.microsoft::Attention(x, w, b, num_heads=2, unidirectional=1)',
    ...microsoft,
    ...gentle,
  },
  {
    name: 'GroupQueryAttention with turned channels, a window and a cap',
    inputs: { q: [1, 5, 64], k: [1, 5, 32], v: [1, 5, 32] },
    body: 'l: int32[1] = [4]\nn: int32 = 5\nc: float32[8, 8] = random(seed=1)\ns: float32[8, 8] = random(seed=2)\nz = com.microsoft::GroupQueryAttention(q, k, v, _, _, l, n, c, s, num_heads=4, kv_num_heads=2, do_rotary=1, local_window_size=3, softcap=3.0)',
    ...microsoft,
  },
  {
    name: 'GroupQueryAttention of packed inputs with a past',
    inputs: { q: [1, 1, 64], a: [1, 1, 3, 16], b: [1, 1, 3, 16] },
    body: 'l: int32[1] = [3]\nn: int32 = 4\nc: float32[8, 8] = random(seed=1)\ns: float32[8, 8] = random(seed=2)\nz, p, r = com.microsoft::GroupQueryAttention(q, _, _, a, b, l, n, c, s, num_heads=2, kv_num_heads=1, do_rotary=1)',
    ...microsoft,
  },
];

for (const [name, cases] of Object.entries({ layers, quantized, attention }))
  describe(`composite ${name}`, () => {
    it.each(cases.map((test) => [test.name, test] as const))(
      '%s is taken apart without a change',
      async (_name, test) => {
        await checkPrepared(test);
      },
    );
    it.each(cases.map((test) => [test.name, test] as const))(
      '%s has the gradient of central differences',
      async (_name, test) => {
        await checkGradients(test);
      },
    );
  });
