import { describe, it } from 'vitest';
import { checkGradients, type GradientCase } from './finite-differences.ts';

const single = { precision: 'float32' } as const;
/** Far apart, so that no order changes within a step. */
const spread = { range: (normal: number) => normal * 5 } as const;

const selection: readonly GradientCase[] = [
  {
    name: 'TopK',
    inputs: { x: [2, 6, 3] },
    body: 'k: int64[1] = [2]\nz, i = TopK(x, k, axis=1)',
    ...spread,
    firstOrderOnly: true,
  },
  {
    name: 'TopK without its indices',
    inputs: { x: [7] },
    body: 'k: int64[1] = [3]\na, i = TopK(x, k, largest=0)\nz = Mul(a, a)',
    ...spread,
    ...single,
    firstOrderOnly: true,
  },
  {
    name: 'Compress along an axis',
    inputs: { x: [2, 4] },
    body: 'c: bool[3] = [true, false, true]\nz = Compress(x, c, axis=1)',
  },
  {
    name: 'Compress flat',
    inputs: { x: [2, 3] },
    body: 'c: bool[5] = [true, false, true, true, false]\nz = Compress(x, c)',
  },
  {
    name: 'ReverseSequence',
    inputs: { x: [4, 3, 2] },
    body: 'l: int64[3] = [4, 2, 1]\nz = ReverseSequence(x, l)',
    ...single,
  },
  {
    name: 'CenterCropPad',
    inputs: { x: [5, 4] },
    body: 's: int64[2] = [2, 7]\nz = CenterCropPad(x, s)',
    ...single,
  },
  {
    name: 'MaxUnpool',
    inputs: { x: [1, 1, 2, 2] },
    body: 'i: int64[1, 1, 2, 2] = [[[[5, 7], [13, 15]]]]\nz = MaxUnpool(x, i, kernel_shape=[2, 2], strides=[2, 2])',
    ...single,
  },
  {
    name: 'GatherND with batch axes',
    inputs: { x: [2, 3, 4, 2] },
    body: 'i: int64[2, 3, 1] = [[[0], [3], [1]], [[1], [1], [2]]]\nz = GatherND(x, i, batch_dims=2)',
  },
  {
    name: 'ScatterElements multiplying',
    inputs: { x: [4], u: [5] },
    body: 'i: int64[5] = [0, 2, 0, 3, 3]\nz = ScatterElements(x, i, u, reduction="mul")',
    range: (normal) => 0.5 + Math.abs(normal),
  },
  {
    name: 'ScatterElements keeping the largest',
    inputs: { x: [4], u: [5] },
    body: 'i: int64[5] = [0, 2, 0, 3, 3]\nz = ScatterElements(x, i, u, reduction="max")',
    ...spread,
    firstOrderOnly: true,
  },
  {
    name: 'ScatterND keeping the smallest',
    inputs: { x: [4, 2], u: [3, 2] },
    body: 'i: int64[3, 1] = [[0], [2], [0]]\nz = ScatterND(x, i, u, reduction="min")',
    ...spread,
    ...single,
    firstOrderOnly: true,
  },
  {
    name: 'Clip with bounds that are computed',
    inputs: { x: [20], a: [1], b: [1] },
    body: 's: int64[0] = []\nc = Reshape(a, s)\nd = Abs(b)\ne = Reshape(d, s)\nf = Add(c, e)\nz = Clip(x, c, f)',
    firstOrderOnly: true,
  },
  {
    name: 'Mod of floats',
    inputs: { x: [6], y: [6] },
    body: 'z = Mod(x, y, fmod=1)',
    range: (normal) => Math.abs(normal) + 1,
    firstOrderOnly: true,
  },
  { name: 'CastLike', inputs: { x: [3] }, body: 'y: float64 = 1\nz = CastLike(x, y)' },
  {
    name: 'Shrink',
    inputs: { x: [8] },
    body: 'z = Shrink(x, lambd=0.5, bias=0.1)',
    range: (normal) => normal + Math.sign(normal) * 0.7,
    ...single,
  },
  {
    name: 'a number that became an integer on the way passes nothing',
    inputs: { x: [6] },
    body: 'a = Cast(x, to=7)\nb = Cast(a, to=11)\nc = Mul(x, x)\nz = Add(b, c)',
    range: (normal) => Math.trunc(normal * 3) + 0.5 * Math.sign(normal),
  },
];

const resize = (name: string, statement: string, shape: readonly number[] = [1, 2, 4, 5]): GradientCase => ({
  name: `Resize ${name}`,
  inputs: { x: shape },
  body: statement,
  ...single,
});

const coordinates = ['half_pixel', 'asymmetric', 'align_corners', 'pytorch_half_pixel', 'half_pixel_symmetric'];
const larger = 's: float32[4] = [1, 1, 2, 1.6]\n';
const smaller = 's: float32[4] = [1, 1, 0.6, 0.5]\n';

const resizing: readonly GradientCase[] = [
  ...['nearest', 'linear', 'cubic'].flatMap((mode) =>
    coordinates.map((coordinate) =>
      resize(
        `${mode}, ${coordinate}`,
        `${larger}z = Resize(x, _, s, mode="${mode}", coordinate_transformation_mode="${coordinate}")`,
      ),
    ),
  ),
  ...['nearest', 'linear', 'cubic'].map((mode) =>
    resize(`${mode}, smaller`, `${smaller}z = Resize(x, _, s, mode="${mode}")`),
  ),
  ...['floor', 'ceil', 'round_prefer_ceil'].map((mode) =>
    resize(`nearest by ${mode}`, `${larger}z = Resize(x, _, s, mode="nearest", nearest_mode="${mode}")`),
  ),
  resize('to sizes', 'n: int64[4] = [1, 2, 7, 3]\nz = Resize(x, _, _, n, mode="linear")'),
  resize('to sizes of some axes', 'n: int64[2] = [7, 3]\nz = Resize(x, _, _, n, mode="linear", axes=[2, 3])'),
  resize('smoothed when smaller', `${smaller}z = Resize(x, _, s, mode="linear", antialias=1)`),
  resize(
    'cubic, weights outside left out',
    `${smaller}z = Resize(x, _, s, mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5)`,
  ),
  resize(
    'of a window, filled with a number outside',
    'r: float32[8] = [0, 0, 0.2, -0.3, 1, 1, 0.9, 1.2]\nn: int64[4] = [1, 2, 5, 6]\nz = Resize(x, r, _, n, mode="linear", coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=3.0)',
  ),
  {
    ...resize('with lengths unknown before the run', `${larger}z = Resize(x, _, s, mode="linear")`),
    symbolic: { x: ['n', 2, 'h', 'w'] },
  },
  {
    ...resize('as Upsample of an old operator set', 's: float32[4] = [1, 1, 2, 2]\nz = Upsample(x, s, mode="nearest")'),
    opset: 9,
  },
];

const einsum = (equation: string, inputs: GradientCase['inputs']): GradientCase => ({
  name: `Einsum ${equation}`,
  inputs,
  body: `z = Einsum(${Object.keys(inputs).join(', ')}, equation="${equation}")`,
});

const summation: readonly GradientCase[] = [
  einsum('...ij,...jk->...ik', { x: [2, 3, 4], y: [2, 4, 2] }),
  einsum('...ij,jk', { x: [2, 2, 3], y: [3, 2] }),
  einsum('b...i,b...i->b...', { x: [2, 3, 4], y: [2, 1, 4] }),
  einsum('ij,jk', { x: [2, 3], y: [3, 4] }),
  einsum('bii->bi', { x: [2, 3, 3] }),
  einsum('ii', { x: [3, 3] }),
  einsum('ij,jj,jk->ik', { x: [2, 3], y: [3, 3], w: [3, 2] }),
];

const pool = (name: string, attributes: string, shape: readonly number[] = [2, 2, 5, 6]): GradientCase => ({
  name: `AveragePool ${name}`,
  inputs: { x: shape },
  body: `z = AveragePool(x, ${attributes})`,
  ...single,
});

const pooling: readonly GradientCase[] = [
  pool('rounded up', 'kernel_shape=[3, 2], strides=[2, 4], ceil_mode=1'),
  pool(
    'rounded up, padding counted',
    'kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1, count_include_pad=1',
  ),
  pool('SAME_UPPER', 'kernel_shape=[2, 3], strides=[2, 2], auto_pad="SAME_UPPER"'),
  pool('SAME_LOWER', 'kernel_shape=[2, 3], strides=[1, 1], auto_pad="SAME_LOWER"'),
  pool('dilated', 'kernel_shape=[2, 2], dilations=[2, 1]'),
  pool('1-D', 'kernel_shape=[3], strides=[2]', [2, 3, 9]),
  { ...pool('with unknown channels', 'kernel_shape=[2, 2]'), symbolic: { x: ['n', 'c', 5, 6] } },
  {
    name: 'LpPool',
    inputs: { x: [1, 2, 5, 5] },
    body: 'z = LpPool(x, kernel_shape=[2, 3], strides=[2, 1], pads=[1, 0, 0, 1], p=3)',
    ...single,
  },
  { name: 'GlobalLpPool', inputs: { x: [2, 2, 3, 2] }, body: 'z = GlobalLpPool(x, p=2)', ...single },
  {
    name: 'MaxPool rounded up and dilated',
    inputs: { x: [1, 2, 6, 6] },
    body: 'z = MaxPool(x, kernel_shape=[2, 2], strides=[3, 3], dilations=[2, 2], ceil_mode=1)',
    ...single,
    ...spread,
    firstOrderOnly: true,
  },
];

for (const [name, cases] of Object.entries({ selection, resizing, summation, pooling }))
  describe(`the gradient of ${name} equals central differences:`, () => {
    it.each(cases.map((test) => [test.name, test] as const))('%s', async (_name, test) => {
      await checkGradients(test);
    });
  });
