import { addDims, floorDivideDims, multiplyDims, subtractDims } from '../dimension.ts';
import { type Dim, formatShape, type Shape } from '../shape.ts';
import type { Call, Rule, RuleTable } from './call.ts';
import { tensorFact } from './fact.ts';
import { windowPositions, windowsOf } from './windows.ts';

const pooledShape = (call: Call): Shape | undefined => {
  const x = call.shape(0);
  const kernel = call.node.ints('kernel_shape');
  if (!x) return undefined;
  if (!kernel) call.problem('kernel_shape is missing');
  if (kernel.length !== x.length - 2)
    call.problem(`kernel_shape [${kernel.join(', ')}] does not fit ${formatShape(x)}`);
  return [...x.slice(0, 2), ...windowPositions(call, x.slice(2), windowsOf(call, kernel))];
};

const pool: Rule = (call) => [tensorFact(call.dtype(0), pooledShape(call))];

const maxPool: Rule = (call) => {
  const shape = pooledShape(call);
  return [tensorFact(call.dtype(0), shape), tensorFact('int64', shape)];
};

/** Every spatial axis is reduced to one. */
const globalPool: Rule = (call) => [
  tensorFact(
    call.dtype(0),
    call.shape(0)?.map((dim, axis) => (axis < 2 ? dim : 1)),
  ),
];

const maxUnpool: Rule = (call) => {
  const x = call.shape(0);
  const given = call.contents(2);
  if (given) return [tensorFact(call.dtype(0), given)];
  const kernel = call.node.ints('kernel_shape');
  if (!x || !kernel || call.has(2)) return [tensorFact(call.dtype(0))];
  const windows = windowsOf(call, kernel);
  const spatial = x.slice(2).map((dim, axis) => {
    const pads = windows.pads[axis]! + windows.pads[axis + kernel.length]!;
    return addDims(multiplyDims(subtractDims(dim, 1), windows.strides[axis]!), kernel[axis]! - pads);
  });
  return [tensorFact(call.dtype(0), [...x.slice(0, 2), ...spatial])];
};

/** (N, C, H, W) and regions (R, 4 or 5) → (R, C, pooled height, pooled width) */
const regionPool: Rule = (call) => {
  const regions = call.shape(1)?.[0] ?? null;
  const channels = call.shape(0)?.[1] ?? null;
  const pooled = call.node.ints('pooled_shape') ?? [
    call.node.int('output_height', 1),
    call.node.int('output_width', 1),
  ];
  return [tensorFact(call.dtype(0), [regions, channels, ...pooled])];
};

/** floor(dim * scale) for every axis; where the scale is a fraction only numbers are scaled. */
const scaled = (dim: Dim, scale: number): Dim => {
  if (typeof dim === 'number') return Math.floor(dim * scale);
  if (Number.isInteger(scale)) return multiplyDims(dim, scale);
  return Number.isInteger(1 / scale) ? floorDivideDims(dim, 1 / scale) : null;
};

const scaledShape = (call: Call, scales: readonly number[] | undefined): Shape | undefined => {
  const x = call.shape(0);
  if (!x || !scales) return x?.map(() => null);
  const axes = call.node.ints('axes')?.map((axis) => call.axis(axis, x.length)) ?? x.map((_, axis) => axis);
  if (scales.length !== axes.length) call.problem(`${scales.length} scales for ${axes.length} axes`);
  return x.map((dim, axis) => (axes.includes(axis) ? scaled(dim, scales[axes.indexOf(axis)]!) : dim));
};

const sizedShape = (call: Call, sizes: readonly Dim[]): Shape | undefined => {
  const x = call.shape(0);
  if (!x) return undefined;
  const axes = call.node.ints('axes')?.map((axis) => call.axis(axis, x.length)) ?? x.map((_, axis) => axis);
  if (sizes.length !== axes.length) call.problem(`${sizes.length} sizes for ${axes.length} axes`);
  if ((call.node.text('keep_aspect_ratio_policy') ?? 'stretch') === 'stretch')
    return x.map((dim, axis) => (axes.includes(axis) ? sizes[axes.indexOf(axis)]! : dim));
  return keptAspect(call, x, axes, sizes);
};

/** One scale for all resized axes: the smallest ('not_larger') or largest ('not_smaller') of the wished ones. */
const keptAspect = (call: Call, x: Shape, axes: readonly number[], sizes: readonly Dim[]): Shape => {
  const scales = axes.map((axis, index) => Number(sizes[index]) / Number(x[axis]));
  if (scales.some(Number.isNaN)) return x.map((dim, axis) => (axes.includes(axis) ? null : dim));
  const larger = call.node.text('keep_aspect_ratio_policy') === 'not_smaller';
  const scale = larger ? Math.max(...scales) : Math.min(...scales);
  return x.map((dim, axis) => (axes.includes(axis) ? Math.round(Number(dim) * scale) : dim));
};

/** Opset 10: (X, scales). Opset 11 on: (X, roi, scales, sizes), one of the last two empty. */
const resize: Rule = (call) => {
  const dtype = call.dtype(0);
  if (call.opset < 11) return [tensorFact(dtype, scaledShape(call, call.numbers(1)))];
  const sizes = call.contents(3);
  if (sizes && sizes.length > 0) return [tensorFact(dtype, sizedShape(call, sizes))];
  const scales = call.numbers(2);
  if (call.has(3) && !sizes)
    return [
      tensorFact(
        dtype,
        call.shape(0)?.map(() => null),
      ),
    ];
  return [tensorFact(dtype, scaledShape(call, scales))];
};

/** Scales as an attribute before opset 9, as an input there. */
const upsample: Rule = (call) => {
  const { node } = call;
  const pair = [node.float('height_scale'), node.float('width_scale')];
  const legacy = pair[0] !== undefined && pair[1] !== undefined ? [1, 1, pair[0], pair[1]] : undefined;
  return [tensorFact(call.dtype(0), scaledShape(call, node.floats('scales') ?? legacy ?? call.numbers(1)))];
};

/** X (N, C, in…) and a grid (N, out…, axes) → (N, C, out…) */
const gridSample: Rule = (call) => {
  const [x, grid] = [call.shape(0), call.shape(1)];
  if (!grid) return [tensorFact(call.dtype(0))];
  return [tensorFact(call.dtype(0), [grid[0] ?? null, x?.[1] ?? null, ...grid.slice(1, -1)])];
};

/** Size (N, C, H, W) or (N, C, D, H, W) → (N, …, axes) */
const affineGrid: Rule = (call) => {
  const size = call.contents(1);
  return [tensorFact(call.dtype(0), size && [size[0] ?? null, ...size.slice(2), size.length - 2])];
};

export const poolingRules: RuleTable = {
  AveragePool: pool,
  LpPool: pool,
  MaxPool: maxPool,
  GlobalAveragePool: globalPool,
  GlobalLpPool: globalPool,
  GlobalMaxPool: globalPool,
  MaxUnpool: maxUnpool,
  MaxRoiPool: regionPool,
  RoiAlign: regionPool,
  Resize: resize,
  Upsample: upsample,
  GridSample: gridSample,
  AffineGrid: affineGrid,
};
