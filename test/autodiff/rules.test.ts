import { describe, it } from 'vitest';
import { checkGradients, type GradientCase } from './finite-differences.ts';

const unary = (body: string, extra: Partial<GradientCase> = {}): GradientCase => ({
  name: body,
  inputs: { x: [3, 4] },
  body: `z = ${body}`,
  ...extra,
});
const positive = { range: (normal: number) => 0.5 + Math.abs(normal) };
const within = { range: (normal: number) => Math.tanh(normal) * 0.8 };
/** Away from the kink at zero, which finite differences would step over. */
const offZero = { range: (normal: number) => normal + Math.sign(normal) * 0.1 };
const single = { precision: 'float32' } as const;

const elementwise: readonly GradientCase[] = [
  unary('Neg(x)'),
  unary('Abs(x)', offZero),
  unary('Exp(x)'),
  unary('Log(x)', positive),
  unary('Sqrt(x)', positive),
  unary('Reciprocal(x)', positive),
  unary('Sin(x)'),
  unary('Cos(x)'),
  unary('Tan(x)', { ...within, ...single }),
  unary('Asin(x)', { ...within, ...single }),
  unary('Acos(x)', { ...within, ...single }),
  unary('Atan(x)', single),
  unary('Sinh(x)', single),
  unary('Cosh(x)', single),
  unary('Tanh(x)'),
  unary('Asinh(x)', single),
  unary('Acosh(x)', { ...single, range: (normal) => 1.5 + Math.abs(normal) }),
  unary('Atanh(x)', { ...within, ...single }),
  unary('Erf(x)', single),
  unary('Sigmoid(x)'),
  unary('Softplus(x)', single),
  unary('Softsign(x)', { ...single, ...offZero }),
  unary('Relu(x)', offZero),
  unary('LeakyRelu(x, alpha=0.2)', { ...single, ...offZero }),
  unary('ThresholdedRelu(x, alpha=0.5)', { ...single, range: (normal) => (normal > 0 ? normal + 0.7 : normal) }),
  unary('Elu(x, alpha=1.5)', { ...single, ...offZero }),
  unary('Celu(x, alpha=1.5)', { ...single, ...offZero }),
  unary('Selu(x)', { ...single, ...offZero }),
  unary('HardSigmoid(x, alpha=0.3, beta=0.4)', { ...single, range: (normal) => normal * 0.3 }),
  unary('HardSwish(x)', { ...single, range: (normal) => normal * 0.4 }),
  unary('Mish(x)', single),
  unary('Gelu(x)', single),
  unary('Gelu(x, approximate="tanh")', single),
  unary('Swish(x, alpha=1.5)', { ...single, opset: 24 }),
  unary('com.microsoft::QuickGelu(x, alpha=1.5)', { ...single, opsets: 'com.microsoft=1' }),
];

const pair = (body: string, extra: Partial<GradientCase> = {}): GradientCase => ({
  name: body,
  inputs: { x: [2, 3, 4], y: [3, 1] },
  body: `z = ${body}`,
  ...extra,
});

const binary: readonly GradientCase[] = [
  pair('Add(x, y)'),
  pair('Sub(y, x)'),
  pair('Mul(x, y)'),
  pair('Div(x, y)', positive),
  pair('Div(y, x)', { ...positive, inputs: { x: [4], y: [2, 1] } }),
  pair('Pow(x, y)', positive),
  pair('Max(x, y)', { firstOrderOnly: true }),
  pair('Min(x, y)', { firstOrderOnly: true }),
  pair('Sum(x, y, x)'),
  pair('Mean(x, y)', single),
  pair('PRelu(x, y)', { ...offZero, ...single }),
  {
    name: 'Where',
    inputs: { x: [2, 3], y: [3] },
    body: 'c: bool[2, 3] = [[true, false, true], [false, false, true]]\nz = Where(c, x, y)',
  },
  {
    name: 'Clip',
    inputs: { x: [20] },
    body: 'a: float64 = -0.5\nb: float64 = 0.7\nz = Clip(x, a, b)',
    firstOrderOnly: true,
  },
  {
    name: 'Add, shapes unknown before the run',
    inputs: { x: [2, 3], y: [1, 3] },
    symbolic: { x: ['a', 'b'], y: ['c', 'd'] },
    body: 'z = Mul(x, y)',
  },
  { name: 'the same input twice', inputs: { x: [2, 3] }, body: 'z = Mul(x, x)' },
];

const products: readonly GradientCase[] = [
  { name: 'MatMul 2-D', inputs: { x: [3, 4], y: [4, 2] }, body: 'z = MatMul(x, y)' },
  { name: 'MatMul batch by matrix', inputs: { x: [2, 5, 3, 4], y: [4, 2] }, body: 'z = MatMul(x, y)' },
  { name: 'MatMul batch by a wide matrix', inputs: { x: [2, 3, 2], y: [2, 5] }, body: 'z = MatMul(x, y)' },
  {
    name: 'MatMul batch by matrix, shapes unknown before the run',
    inputs: { x: [2, 3, 4], y: [4, 5] },
    symbolic: { x: ['a', 'b', 'c'], y: ['c', 'd'] },
    body: 'z = MatMul(x, y)',
  },
  { name: 'MatMul of batches, wide by narrow', inputs: { x: [2, 3, 5], y: [2, 5, 2] }, body: 'z = MatMul(x, y)' },
  { name: 'MatMul of batches, wide by many', inputs: { x: [1, 2, 18], y: [1, 18, 16] }, body: 'z = MatMul(x, y)' },
  { name: 'MatMul of batches, narrow by wide', inputs: { x: [2, 3, 2], y: [2, 2, 5] }, body: 'z = MatMul(x, y)' },
  { name: 'MatMul broadcast batches', inputs: { x: [2, 1, 3, 4], y: [5, 4, 2] }, body: 'z = MatMul(x, y)' },
  { name: 'MatMul matrix by batch', inputs: { x: [3, 4], y: [5, 4, 2] }, body: 'z = MatMul(x, y)' },
  { name: 'MatMul with a vector on the right', inputs: { x: [2, 3, 4], y: [4] }, body: 'z = MatMul(x, y)' },
  { name: 'MatMul with a vector on the left', inputs: { x: [4], y: [2, 4, 3] }, body: 'z = MatMul(x, y)' },
  { name: 'MatMul of vectors', inputs: { x: [4], y: [4] }, body: 'z = MatMul(x, y)' },
  { name: 'Gemm', inputs: { x: [3, 4], y: [4, 2], c: [2] }, body: 'z = Gemm(x, y, c, alpha=0.5, beta=2.0)' },
  {
    name: 'Gemm, both transposed',
    inputs: { x: [4, 3], y: [2, 4], c: [3, 1] },
    body: 'z = Gemm(x, y, c, transA=1, transB=1)',
  },
  { name: 'Einsum', inputs: { x: [2, 3, 4], y: [2, 5, 4] }, body: 'z = Einsum(x, y, equation="bij,bkj->bik")' },
  { name: 'Einsum with a lost axis', inputs: { x: [2, 3], y: [3, 4] }, body: 'z = Einsum(x, y, equation="ab,bc->c")' },
];

const reduced = (op: string, extra: Partial<GradientCase> = {}): GradientCase[] => [
  {
    name: `${op} over one axis`,
    inputs: { x: [2, 3, 4] },
    body: `a: int64[1] = [1]\nz = ${op}(x, a, keepdims=0)`,
    ...extra,
  },
  {
    name: `${op} over two axes, kept`,
    inputs: { x: [2, 3, 4] },
    body: `a: int64[2] = [-1, 0]\nz = ${op}(x, a)`,
    ...extra,
  },
  { name: `${op} over all`, inputs: { x: [2, 3] }, body: `z = ${op}(x, keepdims=0)`, ...extra },
];

const reductions: readonly GradientCase[] = [
  ...reduced('ReduceSum'),
  ...reduced('ReduceMean'),
  ...reduced('ReduceMax', { firstOrderOnly: true }),
  ...reduced('ReduceMin', { firstOrderOnly: true }),
  ...reduced('ReduceProd', { ...positive, ...single }),
  ...reduced('ReduceL1', { ...offZero, ...single }),
  ...reduced('ReduceL2', single),
  ...reduced('ReduceLogSum', { ...positive, ...single }),
  ...reduced('ReduceLogSumExp'),
  ...reduced('ReduceSumSquare'),
  { name: 'Softmax', inputs: { x: [2, 3, 4] }, body: 'z = Softmax(x, axis=1)' },
  {
    name: 'Softmax that weighs values',
    inputs: { x: [2, 3, 4], y: [2, 4, 2] },
    body: 'p = Softmax(x)\nz = MatMul(p, y)',
  },
  {
    name: 'Softmax that weighs values and is read beside',
    inputs: { x: [2, 3, 4], y: [2, 4, 2] },
    body: 'p = Softmax(x)\no = MatMul(p, y)\na: int64[1] = [-1]\nr = ReduceSumSquare(p, a)\nz = Mul(o, r)',
  },
  {
    name: 'Softmax that weighs two kinds of values',
    inputs: { x: [2, 3, 4], y: [2, 4, 2], w: [2, 4, 2] },
    body: 'p = Softmax(x)\no = MatMul(p, y)\nq = MatMul(p, w)\nz = Mul(o, q)',
  },
  {
    name: 'Softmax over rows that weighs values',
    inputs: { x: [3, 4], y: [4, 2] },
    body: 'p = Softmax(x, axis=0)\nz = MatMul(p, y)',
  },
  { name: 'LogSoftmax', inputs: { x: [2, 3, 4] }, body: 'z = LogSoftmax(x)' },
  { name: 'CumSum', inputs: { x: [2, 5] }, body: 'a: int64 = 1\nz = CumSum(x, a, exclusive=1)' },
  { name: 'CumSum reversed', inputs: { x: [2, 5] }, body: 'a: int64 = 1\nz = CumSum(x, a, reverse=1)' },
];

const movement: readonly GradientCase[] = [
  { name: 'Reshape', inputs: { x: [2, 6] }, body: 's: int64[2] = [3, -1]\nz = Reshape(x, s)' },
  { name: 'Flatten', inputs: { x: [2, 3, 2] }, body: 'z = Flatten(x, axis=2)' },
  { name: 'Squeeze', inputs: { x: [2, 1, 3] }, body: 'a: int64[1] = [1]\nz = Squeeze(x, a)' },
  { name: 'Unsqueeze', inputs: { x: [2, 3] }, body: 'a: int64[2] = [0, -1]\nz = Unsqueeze(x, a)' },
  { name: 'Transpose', inputs: { x: [2, 3, 4] }, body: 'z = Transpose(x, perm=[2, 0, 1])' },
  { name: 'Concat', inputs: { x: [2, 3], y: [2, 1] }, body: 'z = Concat(x, y, x, axis=-1)' },
  {
    name: 'Split, one part unused',
    inputs: { x: [5, 2] },
    body: 's: int64[3] = [2, 1, 2]\na, b, c = Split(x, s, axis=0)\nz = Mul(a, c)',
  },
  { name: 'Slice', inputs: { x: [5, 6] }, body: 's: int64[2] = [1, -4]\ne: int64[2] = [4, -1]\nz = Slice(x, s, e)' },
  {
    name: 'Slice one axis beyond the end',
    inputs: { x: [3, 4] },
    body: 's: int64[1] = [2]\ne: int64[1] = [9223372036854775807]\na: int64[1] = [1]\nz = Slice(x, s, e, a)',
  },
  {
    name: 'Slice with steps',
    inputs: { x: [5, 6] },
    body: 's: int64[2] = [4, 0]\ne: int64[2] = [0, 6]\na: int64[2] = [0, 1]\nt: int64[2] = [-2, 2]\nz = Slice(x, s, e, a, t)',
  },
  {
    name: 'Slice, symbolic lengths',
    inputs: { x: [3, 6] },
    symbolic: { x: ['n', 'm'] },
    body: 's: int64[1] = [1]\ne: int64[1] = [-1]\na: int64[1] = [-1]\nz = Slice(x, s, e, a)',
  },
  { name: 'Expand', inputs: { x: [3, 1] }, body: 's: int64[3] = [2, 3, 4]\nz = Expand(x, s)' },
  { name: 'Tile', inputs: { x: [2, 3] }, body: 'r: int64[2] = [2, 3]\nz = Tile(x, r)' },
  { name: 'Pad constant', inputs: { x: [2, 3] }, body: 'p: int64[4] = [1, 0, 2, 1]\nz = Pad(x, p)' },
  {
    name: 'Pad constant, one axis',
    inputs: { x: [2, 3] },
    body: 'p: int64[2] = [1, 2]\na: int64[1] = [1]\nz = Pad(x, p, _, a)',
  },
  { name: 'Pad reflect', inputs: { x: [3, 4] }, body: 'p: int64[4] = [1, 2, 2, 1]\nz = Pad(x, p, mode="reflect")' },
  { name: 'Pad edge', inputs: { x: [2, 3] }, body: 'p: int64[4] = [0, 2, 0, 1]\nz = Pad(x, p, mode="edge")' },
  { name: 'Gather rows', inputs: { x: [5, 3] }, body: 'i: int64[2, 2] = [[0, 4], [4, 1]]\nz = Gather(x, i)' },
  {
    name: 'Gather along the middle',
    inputs: { x: [2, 5, 3] },
    body: 'i: int64[2, 2] = [[0, 4], [-1, 1]]\nz = Gather(x, i, axis=1)',
  },
  { name: 'Gather one', inputs: { x: [2, 5] }, body: 'i: int64 = 3\nz = Gather(x, i, axis=1)' },
  {
    name: 'GatherElements',
    inputs: { x: [3, 3] },
    body: 'i: int64[2, 3] = [[0, 2, 0], [0, 1, 1]]\nz = GatherElements(x, i, axis=0)',
  },
  { name: 'GatherND', inputs: { x: [3, 4, 2] }, body: 'i: int64[2, 2] = [[0, 3], [2, 1]]\nz = GatherND(x, i)' },
  {
    name: 'ScatterElements',
    inputs: { x: [3, 3], u: [2, 3] },
    body: 'i: int64[2, 3] = [[0, 2, 0], [1, 0, 1]]\nz = ScatterElements(x, i, u, axis=0)',
  },
  {
    name: 'ScatterND adding',
    inputs: { x: [4, 2], u: [3, 2] },
    body: 'i: int64[3, 1] = [[0], [2], [0]]\nz = ScatterND(x, i, u, reduction="add")',
  },
  { name: 'Trilu', inputs: { x: [4, 4] }, body: 'k: int64 = 1\nz = Trilu(x, k, upper=0)' },
  {
    name: 'Identity, Cast',
    inputs: { x: [3] },
    body: 'a = Identity(x)\nb = Cast(a, to=11)\nz = Cast(b, to=1)',
    precision: 'float32',
    firstOrderOnly: true,
  },
  { name: 'DepthToSpace', inputs: { x: [1, 8, 2, 3] }, body: 'z = DepthToSpace(x, blocksize=2)' },
  { name: 'DepthToSpace CRD', inputs: { x: [1, 8, 2, 3] }, body: 'z = DepthToSpace(x, blocksize=2, mode="CRD")' },
  { name: 'SpaceToDepth', inputs: { x: [1, 2, 4, 6] }, body: 'z = SpaceToDepth(x, blocksize=2)' },
];

const normalization: readonly GradientCase[] = [
  { name: 'LayerNormalization', inputs: { x: [2, 3, 5], g: [5], b: [5] }, body: 'z = LayerNormalization(x, g, b)' },
  {
    name: 'LayerNormalization over two axes',
    inputs: { x: [2, 3, 4], g: [3, 4] },
    body: 'z = LayerNormalization(x, g, axis=1)',
  },
  {
    name: 'SimplifiedLayerNormalization',
    inputs: { x: [2, 3, 5], g: [5] },
    body: 'z = SimplifiedLayerNormalization(x, g, epsilon=0.001)',
  },
  {
    name: 'BatchNormalization',
    inputs: { x: [2, 3, 4], g: [3], b: [3] },
    body: 'm: float32[3] = [0.1, -0.2, 0.3]\nv: float32[3] = [0.5, 1.5, 2.0]\nz = BatchNormalization(x, g, b, m, v)',
    ...single,
  },
  {
    name: 'InstanceNormalization',
    inputs: { x: [2, 3, 6], g: [3], b: [3] },
    body: 'z = InstanceNormalization(x, g, b)',
    ...single,
  },
  {
    name: 'GroupNormalization',
    inputs: { x: [2, 4, 3], g: [4], b: [4] },
    body: 'z = GroupNormalization(x, g, b, num_groups=2)',
    ...single,
  },
  { name: 'LRN', inputs: { x: [1, 6, 2, 2] }, body: 'z = LRN(x, size=3, alpha=0.5, beta=0.6)', ...single },
];

const convolution: readonly GradientCase[] = [
  {
    name: 'Conv',
    inputs: { x: [2, 3, 6, 5], w: [4, 3, 3, 2], b: [4] },
    body: 'z = Conv(x, w, b, pads=[1, 0, 1, 1], strides=[2, 1])',
    ...single,
  },
  {
    name: 'Conv grouped and dilated',
    inputs: { x: [2, 4, 7, 7], w: [6, 2, 3, 3] },
    body: 'z = Conv(x, w, group=2, dilations=[2, 2], pads=[1, 1, 1, 1])',
    ...single,
  },
  {
    name: 'Conv depthwise',
    inputs: { x: [2, 3, 5, 5], w: [3, 1, 3, 3] },
    body: 'z = Conv(x, w, group=3, strides=[2, 2], pads=[1, 1, 1, 1])',
    ...single,
  },
  {
    name: 'Conv 1-D',
    inputs: { x: [2, 3, 9], w: [4, 3, 4], b: [4] },
    body: 'z = Conv(x, w, b, strides=[3])',
    ...single,
  },
  {
    name: 'Conv SAME_UPPER',
    inputs: { x: [1, 2, 5, 6], w: [2, 2, 3, 2] },
    body: 'z = Conv(x, w, auto_pad="SAME_UPPER", strides=[2, 1])',
    ...single,
  },
  {
    name: 'Conv, symbolic positions',
    inputs: { x: [2, 2, 6, 6], w: [2, 2, 3, 3] },
    symbolic: { x: ['n', 2, 'h', 'w'] },
    body: 'z = Conv(x, w, strides=[2, 2])',
    ...single,
  },
  {
    name: 'ConvTranspose',
    inputs: { x: [2, 3, 4, 3], w: [3, 2, 3, 3], b: [2] },
    body: 'z = ConvTranspose(x, w, b, strides=[2, 2], pads=[1, 0, 1, 1], output_padding=[1, 0])',
    ...single,
  },
  {
    name: 'ConvTranspose grouped',
    inputs: { x: [1, 4, 4, 4], w: [4, 3, 2, 2] },
    body: 'z = ConvTranspose(x, w, group=2, dilations=[2, 1])',
    ...single,
  },
  {
    name: 'MaxPool',
    inputs: { x: [2, 2, 5, 6] },
    body: 'z = MaxPool(x, kernel_shape=[3, 2], strides=[1, 2], pads=[1, 0, 1, 0])',
    ...single,
    firstOrderOnly: true,
    range: (normal) => normal * 5,
  },
  {
    name: 'AveragePool',
    inputs: { x: [2, 2, 5, 6] },
    body: 'z = AveragePool(x, kernel_shape=[3, 2], strides=[1, 2], pads=[1, 0, 1, 0])',
    ...single,
  },
  {
    name: 'AveragePool with padding counted',
    inputs: { x: [1, 2, 5, 5] },
    body: 'z = AveragePool(x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)',
    ...single,
  },
  { name: 'GlobalAveragePool', inputs: { x: [2, 3, 4, 2] }, body: 'z = GlobalAveragePool(x)', ...single },
  {
    name: 'GlobalMaxPool',
    inputs: { x: [2, 3, 4, 2] },
    body: 'z = GlobalMaxPool(x)',
    ...single,
    firstOrderOnly: true,
    range: (normal) => normal * 5,
  },
];

const compositions: readonly GradientCase[] = [
  {
    name: 'a gated layer with a residual',
    inputs: { x: [2, 3, 4], g: [4, 6], u: [4, 6], d: [6, 4] },
    body: 'a = MatMul(x, g)\ns = Sigmoid(a)\nt = Mul(a, s)\nv = MatMul(x, u)\nh = Mul(t, v)\ny = MatMul(h, d)\nz = Add(x, y)',
  },
  {
    name: 'attention',
    inputs: { q: [1, 2, 3, 4], k: [1, 2, 3, 4], v: [1, 2, 3, 4] },
    body: 't = Transpose(k, perm=[0, 1, 3, 2])\ns = MatMul(q, t)\np = Softmax(s)\nz = MatMul(p, v)',
  },
];

const recurrentInputs = { x: [3, 2, 4], w: [1, 12, 4], r: [1, 12, 3], b: [1, 24], h: [1, 2, 3] };

const recurrent: readonly GradientCase[] = [
  {
    name: 'LSTM',
    inputs: { x: [3, 2, 4], w: [1, 12, 4], r: [1, 12, 3], b: [1, 24], h: [1, 2, 3], c: [1, 2, 3] },
    body: 'a, l, m = LSTM(x, w, r, b, _, h, c, hidden_size=3)\nn = Add(l, m)\nz = Add(a, n)',
    ...single,
  },
  {
    name: 'LSTM in both directions',
    inputs: { x: [2, 2, 3], w: [2, 8, 3], r: [2, 8, 2] },
    body: 'z = LSTM(x, w, r, hidden_size=2, direction="bidirectional")',
    ...single,
  },
  {
    name: 'GRU',
    inputs: { ...recurrentInputs, w: [1, 9, 4], r: [1, 9, 3], b: [1, 18] },
    body: 'a, z = GRU(x, w, r, b, _, h, hidden_size=3)',
    ...single,
  },
  {
    name: 'GRU, linear before reset, reversed',
    inputs: { ...recurrentInputs, w: [1, 9, 4], r: [1, 9, 3], b: [1, 18] },
    body: 'z = GRU(x, w, r, b, _, h, hidden_size=3, linear_before_reset=1, direction="reverse")',
    ...single,
  },
];

const groups = {
  elementwise,
  binary,
  products,
  reductions,
  movement,
  normalization,
  convolution,
  recurrent,
  compositions,
};

for (const [name, cases] of Object.entries(groups))
  describe(`the gradient of ${name} operators equals central differences, and so does its own gradient:`, () => {
    it.each(cases.map((test) => [test.name, test] as const))('%s', async (_name, test) => {
      await checkGradients(test);
    });
  });
