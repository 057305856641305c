/** Graphs for the comparison of inferred with computed shapes; symbols of the inputs take each of `sizes`. */
export interface ShapeCase {
  readonly name: string;
  /** Versions of the operator sets, as in the text of programs. */
  readonly versions: string;
  /** Inputs and outputs of the graph, and its statements. */
  readonly header: string;
  readonly body: string;
  readonly functions?: string;
  readonly sizes: readonly Readonly<Record<string, number>>[];
  /** Values with dimensions that depend on data, and so stay unknown. */
  readonly open?: readonly string[];
}

const twoSizes = [
  { n: 2, s: 7, t: 3 },
  { n: 1, s: 4, t: 5 },
];

export const cases: readonly ShapeCase[] = [
  {
    name: 'elementwise operators broadcast',
    versions: 'opset=21',
    header: '(x: float32[n, s, 4], y: float32[s, 1], z: float32[1, 1, 4]) -> (k)',
    body: `
      a = Add(x, y)
      b = Mul(y, z)
      c = Max(a, b, z)
      two: float32 = 2
      d = Pow(c, two)
      f = Greater(d, x)
      g = Not(f)
      h = And(f, g)
      e = Where(h, d, y)
      i = Cast(e, to=10)
      j = IsNaN(e)
      k = Mod(x, two, fmod=1)`,
    sizes: twoSizes,
  },
  {
    name: 'unary operators keep shape and type',
    versions: 'opset=21',
    header: '(x: float32[n, s]) -> (v30)',
    body: `
      v0 = Abs(x)
      v1 = Ceil(x)
      v2 = Erf(x)
      v3 = Exp(x)
      v4 = Floor(x)
      v5 = Gelu(x)
      v6 = HardSigmoid(x)
      v7 = LeakyRelu(x)
      v8 = Log(x)
      v9 = Mish(x)
      v10 = Neg(x)
      v11 = Reciprocal(x)
      v12 = Relu(x)
      v13 = Round(x)
      v14 = Selu(x)
      v15 = Sigmoid(x)
      v16 = Sign(x)
      v17 = Sin(x)
      v18 = Softmax(x)
      v19 = LogSoftmax(x)
      v20 = Softplus(x)
      v21 = Softsign(x)
      v22 = Sqrt(x)
      v23 = Tanh(x)
      v24 = Hardmax(x)
      v25 = Elu(x)
      v26 = Celu(x)
      v27 = ThresholdedRelu(x)
      v28 = HardSwish(x)
      v29 = Shrink(x)
      v30 = LpNormalization(x)`,
    sizes: twoSizes,
  },
  {
    name: 'matrix products',
    versions: 'opset=21',
    header: '(x: float32[n, s, 4], y: float32[n, 4, t], v: float32[4]) -> (h)',
    body: `
      w: float32[4, 6] = random(seed=1)
      a = MatMul(x, w)
      b = MatMul(x, y)
      c = MatMul(x, v)
      d = MatMul(v, y)
      e = MatMul(v, v)
      f = Einsum(x, y, equation="bij,bjk->bik")
      g = Einsum(x, equation="bij->ji")
      h = Einsum(x, y, equation="...ij,...jk->...ik")`,
    sizes: twoSizes,
  },
  {
    name: 'Gemm with transposed operands',
    versions: 'opset=21',
    header: '(x: float32[s, n], v: float32[t, s]) -> (b)',
    body: `
      bias: float32[1] = [1]
      a = Gemm(x, v, bias, transA=1, transB=1)
      b = Gemm(v, x, alpha=2.0)`,
    sizes: twoSizes,
  },
  {
    name: 'convolutions',
    versions: 'opset=21',
    header: '(x: float32[n, 4, s+8, t+8], u: float32[n, 2, s+5]) -> (i)',
    body: `
      w: float32[6, 4, 3, 3] = random(seed=1)
      grouped: float32[8, 2, 3, 2] = random(seed=2)
      depth: float32[4, 1, 3, 3] = random(seed=3)
      line: float32[3, 2, 4] = random(seed=4)
      up: float32[4, 3, 3, 3] = random(seed=5)
      upGrouped: float32[4, 3, 2, 2] = random(seed=5)
      a = Conv(x, w, pads=[1, 1, 1, 1])
      b = Conv(x, w, strides=[2, 3], dilations=[2, 1])
      c = Conv(x, grouped, group=2, pads=[0, 1, 2, 3], strides=[2, 2])
      d = Conv(x, depth, group=4, auto_pad="SAME_UPPER", strides=[2, 2])
      e = Conv(x, depth, group=4, auto_pad="VALID", strides=[3, 2])
      f = Conv(u, line, strides=[2], pads=[1, 2])
      g = ConvTranspose(x, up, strides=[2, 2], pads=[1, 0, 1, 2], output_padding=[1, 0])
      h = ConvTranspose(x, upGrouped, group=2, dilations=[2, 2])
      line2: float32[2, 3, 2] = random(seed=6)
      i = Conv(f, line2, strides=[2])`,
    sizes: twoSizes,
  },
  {
    name: 'poolings',
    versions: 'opset=21',
    header: '(x: float32[n, 3, s+6, t+6]) -> (h)',
    body: `
      a, b = MaxPool(x, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])
      c = AveragePool(x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
      d = LpPool(x, kernel_shape=[2, 3])
      e = GlobalAveragePool(x)
      f = GlobalMaxPool(x)
      g = MaxPool(x, kernel_shape=[3, 3], strides=[2, 2], dilations=[2, 2], auto_pad="VALID")
      h = AveragePool(x, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER")`,
    sizes: twoSizes,
  },
  {
    name: 'ceil_mode with padding leaves windows in the padding out',
    versions: 'opset=21',
    header: '(x: float32[1, 1, 6, 7]) -> (b)',
    body: `
      a = MaxPool(x, kernel_shape=[3, 2], strides=[3, 3], pads=[0, 1, 2, 1], ceil_mode=1)
      b = MaxPool(x, kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)`,
    sizes: [{}],
  },
  {
    name: 'normalisations',
    versions: 'opset=21',
    header: '(x: float32[n, 4, s]) -> (f)',
    body: `
      four: float32[4] = [1, 2, 3, 4]
      a = BatchNormalization(x, four, four, four, four)
      b = InstanceNormalization(x, four, four)
      image: float32[1, 4, 2, 3] = ones
      c = LRN(image, size=3)
      d = GroupNormalization(x, four, four, num_groups=2)
      y = Transpose(x, perm=[0, 2, 1])
      e, mean, deviation = LayerNormalization(y, four, four, axis=-1)
      f = MeanVarianceNormalization(a, axes=[0, 2])`,
    sizes: twoSizes,
  },
  {
    name: 'reductions',
    versions: 'opset=21',
    header: '(x: float32[n, s, 4]) -> (k)',
    body: `
      last: int64[1] = [-1]
      both: int64[2] = [0, 1]
      a = ReduceMean(x, last)
      b = ReduceSum(x, both, keepdims=0)
      c = ReduceMax(x)
      d = ReduceL2(x, last, keepdims=0)
      e = ArgMax(x, axis=1)
      f = ArgMin(x, axis=-1, keepdims=0)
      three: int64[1] = [3]
      g, h = TopK(x, three, axis=-1)
      i = ReduceProd(x, _, noop_with_empty_axes=1)
      one: int64[] = 1
      j = CumSum(x, one)
      k = ReduceLogSumExp(x, both)`,
    sizes: twoSizes,
  },
  {
    name: 'reductions with axes as attribute',
    versions: 'opset=12',
    header: '(x: float32[n, s, 4]) -> (g)',
    body: `
      a = ReduceMean(x, axes=[1])
      b = ReduceSum(x, axes=[-1], keepdims=0)
      c = Squeeze(a, axes=[1])
      d = Unsqueeze(c, axes=[0, -1])
      e, f = Split(x, axis=2, split=[1, 3])
      g, h = Dropout(x)`,
    sizes: twoSizes,
  },
  {
    name: 'operators of opset 9',
    versions: 'opset=9',
    header: '(x: float32[n, 3, s, t]) -> (f)',
    body: `
      a = Slice(x, axes=[2, 3], starts=[1, -2], ends=[9999, 2147483647])
      b = Pad(x, pads=[0, 0, 1, 2, 0, 1, 3, 4])
      scales: float32[4] = [1, 1, 2, 2]
      c = Upsample(x, scales)
      d, e = TopK(x, k=2, axis=1)
      f = Clip(x, min=0.0)`,
    sizes: twoSizes,
  },
  {
    name: 'operators of opset 7 with attributes',
    versions: 'opset=7',
    header: '(x: float32[n, 3, s, t]) -> (c)',
    body: `
      a = Upsample(x, scales=[1.0, 1.0, 2.0, 3.0])
      b = Flatten(x)
      slope: float32[3, 1, 1] = [[[1]], [[2]], [[3]]]
      c = PRelu(x, slope)`,
    sizes: twoSizes,
  },
  {
    name: 'views that keep the order of elements',
    versions: 'opset=21',
    header: '(x: float32[n, s, 12]) -> (i)',
    body: `
      split: int64[4] = [0, 0, 3, 4]
      rest: int64[2] = [0, -1]
      a = Reshape(x, split)
      b = Reshape(a, rest)
      c = Flatten(x, axis=2)
      one: int64[1] = [1]
      two: int64[2] = [0, -1]
      d = Unsqueeze(x, one)
      e = Squeeze(d, one)
      f = Unsqueeze(x, two)
      joined: int64[3] = [-1, 4, 3]
      h = Reshape(x, joined)
      i = Flatten(x, axis=0)`,
    sizes: twoSizes,
  },
  {
    name: 'shape arithmetic reaches Reshape',
    versions: 'opset=21',
    header: '(x: float32[n, s, 12], y: float32[n, t, 12]) -> (c)',
    body: `
      dims = Shape(x)
      zero: int64[1] = [0]
      one: int64[] = 1
      three: int64[1] = [3]
      batch = Gather(dims, zero)
      length = Gather(dims, one)
      zeros: int64[1] = [0]
      length1 = Unsqueeze(length, zeros)
      minus: int64[1] = [-1]
      target = Concat(batch, length1, three, minus, axis=0)
      a = Reshape(x, target)
      other = Shape(y, start=1, end=2)
      total = Add(length1, other)
      both = Concat(x, y, axis=1)
      wide = Concat(batch, total, minus, axis=0)
      b = Reshape(both, wide)
      half: int64[1] = [2]
      zerod: int64[] = 0
      oned: int64[] = 1
      positions = Range(zerod, length, oned)
      count = Size(x)
      c = Reshape(positions, minus)`,
    sizes: twoSizes,
  },
  {
    name: 'masks of a decoder: Range, Expand, ConstantOfShape, comparisons, Trilu',
    versions: 'opset=21',
    header: '(ids: int64[n, s], past: float32[n, 2, t, 4]) -> (sum)',
    body: `
      zero: int64[] = 0
      one: int64[] = 1
      zeros: int64[1] = [0]
      two: int64[] = 2
      idShape = Shape(ids)
      pastShape = Shape(past)
      length = Gather(idShape, one)
      before = Gather(pastShape, two)
      total = Add(length, before)
      queries = Range(before, total, one)
      keys = Range(zero, total, one)
      axes1: int64[1] = [1]
      column = Unsqueeze(queries, axes1)
      visible = LessOrEqual(keys, column)
      batch = Gather(idShape, zero)
      ones: int64[1] = [1]
      b1 = Unsqueeze(batch, zeros)
      l1 = Unsqueeze(length, zeros)
      t1 = Unsqueeze(total, zeros)
      maskShape = Concat(b1, ones, l1, t1, axis=0)
      mask = Expand(visible, maskShape)
      full = ConstantOfShape(maskShape, value=tensor(float32[1], [-1]))
      upper = Trilu(full, one, upper=1)
      negative: float32[] = -10000
      nothing: float32[] = 0
      bias = Where(mask, nothing, negative)
      sum = Add(bias, upper)`,
    sizes: twoSizes,
  },
  {
    name: 'slices, gathers, splits, pads, tiles',
    versions: 'opset=21',
    header: '(x: float32[n, s+4, 6], i: int64[t, 2]) -> (r)',
    body: `
      starts: int64[2] = [1, -3]
      ends: int64[2] = [9223372036854775807, 5]
      axes: int64[2] = [1, 2]
      steps: int64[2] = [2, 1]
      a = Slice(x, starts, ends, axes, steps)
      back: int64[1] = [-1]
      far: int64[1] = [-9223372036854775807]
      last: int64[1] = [2]
      b = Slice(x, back, far, last, back)
      c = Gather(x, i, axis=1)
      d, e, f = Split(x, axis=2, num_outputs=3)
      parts: int64[2] = [2, 4]
      g, h = Split(x, parts, axis=-1)
      pads: int64[6] = [0, 1, 2, 0, 3, 1]
      k = Pad(x, pads)
      repeats: int64[3] = [1, 2, 3]
      l = Tile(x, repeats)
      m = Transpose(x)
      k2 = Neg(x)
      o = Concat(x, k2, axis=-1)
      depth: int64[] = 5
      values: float32[2] = [0, 1]
      p = OneHot(i, depth, values)
      nd: int64[3, 2] = [[0, 1], [0, 0], [0, 2]]
      q = GatherND(x, nd)
      ge: int64[1, 2, 3] = [[[0, 0, 0], [0, 0, 0]]]
      r = GatherElements(x, ge)`,
    sizes: twoSizes,
  },
  {
    name: 'slices with computed bounds',
    versions: 'opset=21',
    header: '(x: float32[n, s, 8], y: float32[n, t]) -> (d)',
    body: `
      table: float32[16, 2] = random(seed=1)
      zero: int64[1] = [0]
      one: int64[1] = [1]
      sx = Shape(x, start=1, end=2)
      sy = Shape(y, start=1, end=2)
      a = Slice(table, zero, sx, zero)
      b = Slice(x, zero, sy, one)
      four: int64[1] = [4]
      end = Mul(sx, one)
      two: int64[1] = [2]
      half = Div(end, two)
      c = Slice(x, half, end, one)
      d = Slice(x, zero, half, one)`,
    sizes: [
      { n: 2, s: 7, t: 3 },
      { n: 1, s: 4, t: 4 },
      { n: 1, s: 2, t: 5 },
    ],
  },
  {
    name: 'data decides how many',
    versions: 'opset=21',
    header: '(x: float32[n, s]) -> (f)',
    body: `
      a = NonZero(x)
      b, c, d, e = Unique(x)
      f = Transpose(a)`,
    sizes: twoSizes,
    open: ['a', 'b', 'c', 'd', 'e', 'f'],
  },
  {
    name: 'scatter, depth and space, resize',
    versions: 'opset=21',
    header: '(x: float32[n, 8, 2*s, 2*t]) -> (f)',
    body: `
      a = DepthToSpace(x, blocksize=2)
      b = SpaceToDepth(x, blocksize=2)
      scales: float32[4] = [1, 1, 2, 0.5]
      c = Resize(x, _, scales)
      sizes: int64[4] = [1, 8, 5, 6]
      index: int64[1, 1] = [[0]]
      update: float32[1, 8, 1, 1] = zeros
      first = Shape(x, start=1)
      one: int64[1] = [1]
      wide = Concat(one, first, axis=0)
      spread = Expand(update, wide)
      d = ScatterND(x, index, spread)
      dims = Shape(x)
      e = ConstantOfShape(dims)
      flat = Flatten(x)
      f = EyeLike(flat)`,
    sizes: twoSizes,
  },
  {
    name: 'generators',
    versions: 'opset=21',
    header: '(x: float32[n, s]) -> (h)',
    body: `
      a = RandomNormal(shape=[2, 3])
      b = RandomUniformLike(x)
      c = Constant(value_ints=[1, 2, 3])
      d = Constant(value_float=1.5)
      e = ConstantOfShape(c, value=tensor(int32[1], [7]))
      f = Constant(value=tensor(float32[2], [1, 2]))
      g = Bernoulli(b)
      ten: int64[] = 10
      h = HannWindow(ten)`,
    sizes: twoSizes,
  },
  {
    name: 'recurrent layers',
    versions: 'opset=21',
    header: '(x: float32[s, n, 3], hidden: float32[1, n, 5]) -> (f)',
    body: `
      w: float32[1, 20, 3] = random(seed=1)
      r: float32[1, 20, 5] = random(seed=2)
      bias: float32[1, 40] = random(seed=3)
      a, b, c = LSTM(x, w, r, bias, _, hidden, hidden, hidden_size=5)
      w2: float32[2, 15, 3] = random(seed=4)
      r2: float32[2, 15, 5] = random(seed=5)
      d, e = GRU(x, w2, r2, hidden_size=5, direction="bidirectional")
      w1: float32[1, 5, 3] = random(seed=6)
      r1: float32[1, 5, 5] = random(seed=7)
      f, g = RNN(x, w1, r1, hidden_size=5, direction="reverse")`,
    sizes: twoSizes,
  },
  {
    name: 'quantization',
    versions: 'opset=21',
    header: '(x: float32[n, s, 4], image: float32[n, 4, s+3, t+3]) -> (l)',
    body: `
      scale: float32[] = 0.1
      zero: uint8[] = 128
      izero: int8[] = 0
      a = QuantizeLinear(x, scale, zero)
      b = DequantizeLinear(a, scale, zero)
      c, d, e = DynamicQuantizeLinear(x)
      w: uint8[4, 6] = integers(seed=1, low=0, high=255)
      f = MatMulInteger(c, w, e)
      g = QLinearMatMul(a, scale, zero, w, scale, zero, scale, zero)
      k: uint8[3, 4, 3, 3] = integers(seed=2, low=0, high=255)
      qi = QuantizeLinear(image, scale, zero)
      h = ConvInteger(qi, k, zero, zero)
      i = QLinearConv(qi, scale, zero, k, scale, zero, scale, zero, strides=[2, 2])
      codes: int4[4, 32] = integers(seed=3, low=-8, high=8)
      scales: float32[4, 2] = random(seed=4)
      j = DequantizeLinear(codes, scales, block_size=16, axis=1)
      l = MatMul(x, j)`,
    sizes: twoSizes,
  },
  {
    name: 'control flow',
    versions: 'opset=21',
    header: '(x: float32[n, s], c: bool[], count: int64[]) -> (a, b, d, e, f, g)',
    body: `
      yes: bool[] = true
      a = If(c, then_branch=graph p() -> (pa) { pa = Neg(x) }, else_branch=graph q() -> (qa) { qa = Abs(x) })
      b = If(yes, then_branch=graph p2() -> (pb) { pb = Transpose(x) }, else_branch=graph q2() -> (qb) { qb = Flatten(x, axis=0) })
      zeroAxis: int64[1] = [0]
      five: int64[] = 5
      d, e = Loop(five, _, x, body=graph body(turn: int64[], go: bool[], carry) -> (go, next, row) {
        next = Add(carry, carry)
        axes: int64[1] = [1]
        row = ReduceSum(next, axes, keepdims=0)
      })
      first = ReduceMean(x, zeroAxis, keepdims=0)
      f, g = Scan(first, x, num_scan_inputs=1, body=graph step(sum, item) -> (after, out) {
        after = Add(sum, item)
        out = Neg(item)
      })`,
    sizes: twoSizes,
  },
  {
    name: 'branches and loops whose shapes differ',
    versions: 'opset=21',
    header: '(x: float32[n, s], c: bool[]) -> (a, d)',
    body: `
      a = If(c, then_branch=graph p() -> (pa) { pa = Neg(x) }, else_branch=graph q() -> (qa) { qa = Concat(x, x, axis=1) })
      two: int64[] = 2
      d = Loop(two, _, x, body=graph body(turn: int64[], go: bool[], carry) -> (go, next) {
        next = Concat(carry, carry, axis=0)
      })`,
    sizes: twoSizes,
    open: ['a', 'd'],
  },
  {
    name: 'attention of opset 23',
    versions: 'opset=23',
    header:
      '(q: float32[n, s, 16], k: float32[n, s, 8], v: float32[n, s, 8], pastKey: float32[n, 2, t, 4], pastValue: float32[n, 2, t, 4]) -> (z)',
    body: `
      weight: float32[16] = ones
      a = RMSNormalization(q, weight)
      y, presentKey, presentValue = Attention(q, k, v, _, pastKey, pastValue, q_num_heads=4, kv_num_heads=2, is_causal=1)
      cos: float32[32, 2] = random(seed=1)
      sin: float32[32, 2] = random(seed=2)
      zero: int64[] = 0
      heads: int64[4] = [0, 4, -1, 4]
      r = Reshape(q, heads)
      z = Attention(r, r, r)`,
    sizes: twoSizes,
  },
  {
    name: 'operators of com.microsoft',
    versions: 'opset=21 com.microsoft=1',
    header: '(x: float32[n, s, 32], ids: int64[n, s]) -> (m)',
    body: `
      codes: uint8[8, 2, 8] = integers(seed=1, low=0, high=255)
      scales: float32[8, 2] = random(seed=2)
      a = com.microsoft::MatMulNBits(x, codes, scales, K=32, N=8, bits=4, block_size=16)
      table: uint8[6, 16] = integers(seed=3, low=0, high=255)
      tableScales: float32[6, 2] = random(seed=4)
      b = com.microsoft::GatherBlockQuantized(table, ids, tableScales, bits=4, block_size=16, gather_axis=0, quantize_axis=1)
      gamma: float32[32] = ones
      c = SimplifiedLayerNormalization(x, gamma, axis=-1, epsilon=1e-5)
      d, _, _, e = com.microsoft::SkipSimplifiedLayerNormalization(x, c, gamma)
      f = com.microsoft::SkipLayerNormalization(x, c, gamma, gamma)
      g = com.microsoft::FusedMatMul(x, c, transB=1, alpha=0.5)
      h = com.microsoft::Gelu(x)
      i = com.microsoft::QuickGelu(x)
      j = com.microsoft::FastGelu(x)
      weight: uint8[32, 6] = integers(seed=5, low=0, high=255)
      weightScale: float32[1] = [0.1]
      k = com.microsoft::DynamicQuantizeMatMul(x, weight, weightScale)
      q, qs, qz = DynamicQuantizeLinear(x)
      l = com.microsoft::MatMulIntegerToFloat(q, weight, qs, weightScale, qz)
      bias: float32[32] = zeros
      m = com.microsoft::BiasGelu(x, bias)`,
    sizes: twoSizes,
  },
  {
    name: 'grouped attention of com.microsoft',
    versions: 'opset=21 com.microsoft=1',
    header:
      '(q: float32[1, s, 32], k: float32[1, s, 16], v: float32[1, s, 16], pastKey: float32[1, 2, t, 8], pastValue: float32[1, 2, t, 8]) -> (b)',
    body: `
      last = Shape(k, start=1, end=2)
      before = Shape(pastKey, start=2, end=3)
      total = Add(last, before)
      total32 = Cast(total, to=6)
      one: int32[1] = [1]
      lengths0 = Sub(total32, one)
      lengths = Identity(lengths0)
      a, presentKey, presentValue = com.microsoft::GroupQueryAttention(q, k, v, pastKey, pastValue, lengths, total32, num_heads=4, kv_num_heads=2)
      b = com.microsoft::MultiHeadAttention(q, q, q, num_heads=4)`,
    sizes: [{ s: 5, t: 0 }],
  },
  {
    name: 'model-local functions',
    versions: 'opset=21 local=1',
    header: '(x: float32[n, s]) -> (b)',
    body: `
      a = local::Reduced(x, which=1)
      b = Neg(a)`,
    functions: `function local::Reduced(u) -> (w) opset=18 attributes(which) {
        t = ArgMax(u, axis=@which)
        w = Cast(t, to=1)
      }`,
    sizes: twoSizes,
  },
];
