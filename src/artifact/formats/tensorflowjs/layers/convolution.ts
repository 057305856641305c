import { z } from 'zod';
import { type Attribute, intAttribute, intsAttribute, textAttribute, type Value } from '../../../../ir/graph.ts';
import { asStored, permuted } from '../arrangement.ts';
import { fixedPositions, type LayerBuilder, type LayerScope, optionsOf, refuse } from '../layer-scope.ts';
import { activated } from './activation.ts';

/** Positions before channels, as the graph's operators do not want them: to channels before positions, and back. */
export const channelsFirst = (scope: LayerScope, x: Value): Value => {
  const rank = scope.shape.length;
  if (isChannelsFirst(scope)) return x;
  return scope.build.transpose(x, [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, axis) => axis + 1)]);
};

export const channelsLast = (scope: LayerScope, x: Value): Value => {
  const rank = scope.shape.length;
  if (isChannelsFirst(scope)) return x;
  return scope.build.transpose(x, [0, ...Array.from({ length: rank - 2 }, (_, axis) => axis + 2), 1]);
};

const isChannelsFirst = (scope: LayerScope): boolean => {
  const format = optionsOf(scope).text('data_format', 'channels_last');
  return format === 'channels_first' || format === 'channelsFirst';
};

/** How windows lie: attributes of Conv and of the pooling operators. */
export const windowAttributes = (
  scope: LayerScope,
  kernel: readonly number[],
  strides: readonly number[],
  dilations: readonly number[],
): Record<string, Attribute> => {
  const padding = optionsOf(scope).text('padding', 'valid').toLowerCase();
  const base: Record<string, Attribute> = { kernel_shape: intsAttribute(kernel), strides: intsAttribute(strides) };
  if (dilations.some((dilation) => dilation !== 1)) base.dilations = intsAttribute(dilations);
  if (padding === 'valid') return base;
  if (padding !== 'same')
    return refuse(scope, `has padding ${padding}`, 'Known are valid and same; tf.js itself cannot run causal ones.');
  const positions = isChannelsFirst(scope) ? undefined : fixedPositions(scope);
  if (!positions) return { ...base, auto_pad: textAttribute('SAME_UPPER') };
  const totals = kernel.map((length, axis) => {
    const [size, stride] = [positions[axis]!, strides[axis]!];
    return Math.max(0, (Math.ceil(size / stride) - 1) * stride + (length - 1) * dilations[axis]! + 1 - size);
  });
  const pads = [...totals.map((total) => Math.floor(total / 2)), ...totals.map((total) => Math.ceil(total / 2))];
  return pads.every((pad) => pad === 0) ? base : { ...base, pads: intsAttribute(pads) };
};

const biased = (scope: LayerScope, inputs: readonly Value[]): Value[] =>
  optionsOf(scope).flag('use_bias', true) ? [...inputs, scope.weight('bias', asStored)] : [...inputs];

/** Filters (positions…, in, out) as (out, in, positions…). */
const outputsFirst = (stored: readonly number[]) => {
  const axes = stored.length - 2;
  return permuted(stored, [axes + 1, axes, ...Array.from({ length: axes }, (_, axis) => axis)]);
};

/** Filters (positions…, in, multiplier) as (in · multiplier, 1, positions…). */
const depthwise = (stored: readonly number[]) => {
  const axes = stored.length - 2;
  const positions = Array.from({ length: axes }, (_, axis) => axis);
  const channels = stored[axes]! * stored[axes + 1]!;
  return permuted(stored, [axes, axes + 1, ...positions], [channels, 1, ...stored.slice(0, axes)]);
};

const geometry = (scope: LayerScope, weight: string) => {
  const options = optionsOf(scope);
  const stored = scope.weightShape(weight) ?? refuse(scope, `has no weight ${weight}`);
  const axes = stored.length - 2;
  return {
    kernel: stored.slice(0, axes),
    strides: options.numbers('strides', axes, 1),
    dilations: options.numbers('dilation_rate', axes, 1),
    channels: stored[axes]!,
  };
};

/** Conv1D, Conv2D, Conv3D. */
export const convolutionLayer: LayerBuilder = (scope) => {
  if (optionsOf(scope).number('groups', 1) !== 1) refuse(scope, 'is grouped', 'tf.js knows no grouped convolutions.');
  const { kernel, strides, dilations } = geometry(scope, 'kernel');
  const inputs = [channelsFirst(scope, scope.inputs[0]!), scope.weight('kernel', outputsFirst)];
  const y = scope.build.call('Conv', biased(scope, inputs), windowAttributes(scope, kernel, strides, dilations));
  return activated(scope, channelsLast(scope, y));
};

export const depthwiseConvolutionLayer: LayerBuilder = (scope) => {
  const { kernel, strides, dilations, channels } = geometry(scope, 'depthwise_kernel');
  const inputs = [channelsFirst(scope, scope.inputs[0]!), scope.weight('depthwise_kernel', depthwise)];
  const y = scope.build.call('Conv', biased(scope, inputs), {
    ...windowAttributes(scope, kernel, strides, dilations),
    group: intAttribute(channels),
  });
  return activated(scope, channelsLast(scope, y));
};

/** A depthwise convolution, then one over channels alone. */
export const separableConvolutionLayer: LayerBuilder = (scope) => {
  const { kernel, strides, dilations, channels } = geometry(scope, 'depthwise_kernel');
  const inputs = [channelsFirst(scope, scope.inputs[0]!), scope.weight('depthwise_kernel', depthwise)];
  const spread = scope.build.call('Conv', inputs, {
    ...windowAttributes(scope, kernel, strides, dilations),
    group: intAttribute(channels),
  });
  const y = scope.build.call('Conv', biased(scope, [spread, scope.weight('pointwise_kernel', outputsFirst)]), {
    kernel_shape: intsAttribute(kernel.map(() => 1)),
  });
  return activated(scope, channelsLast(scope, y));
};

/** Conv2DTranspose: filters (positions…, out, in) as (in, out, positions…). */
export const transposedConvolutionLayer: LayerBuilder = (scope) => {
  const { kernel, strides, dilations } = geometry(scope, 'kernel');
  if (dilations.some((dilation) => dilation !== 1)) refuse(scope, 'is dilated and transposed');
  if (scope.layer.config.output_padding) refuse(scope, 'has output_padding', 'tf.js knows none.');
  const same = optionsOf(scope).text('padding', 'valid').toLowerCase() === 'same';
  const over = kernel.map((length, axis) => length - strides[axis]!);
  const totals = over.map((length) => (same ? Math.max(0, length) : 0));
  const y = scope.build.call(
    'ConvTranspose',
    biased(scope, [channelsFirst(scope, scope.inputs[0]!), scope.weight('kernel', outputsFirst)]),
    {
      kernel_shape: intsAttribute(kernel),
      strides: intsAttribute(strides),
      pads: intsAttribute([
        ...totals.map((total) => Math.floor(total / 2)),
        ...totals.map((total) => Math.ceil(total / 2)),
      ]),
      output_padding: intsAttribute(over.map((length) => Math.max(0, -length))),
    },
  );
  return activated(scope, channelsLast(scope, y));
};

/** Zeros around the positions. */
export const zeroPaddingLayer: LayerBuilder = (scope) => {
  const { build } = scope;
  const borders = bordersOf(scope, 'padding');
  const begins = [0, ...borders.map(([begin]) => begin), 0];
  const ends = [0, ...borders.map(([, end]) => end), 0];
  const x = channelsFirst(scope, scope.inputs[0]!);
  const order = (list: readonly number[]): number[] => [list[0]!, list.at(-1)!, ...list.slice(1, -1)];
  return channelsLast(scope, build.call('Pad', [x, build.integers([...order(begins), ...order(ends)])]));
};

/** Borders of the positions cut off. */
export const croppingLayer: LayerBuilder = (scope) => {
  const { build } = scope;
  const borders = bordersOf(scope, 'cropping');
  const axes = borders.map((_, axis) => axis + (isChannelsFirst(scope) ? 2 : 1));
  const ends = borders.map(([, end]) => (end === 0 ? Number.MAX_SAFE_INTEGER : -end));
  const parts = [borders.map(([begin]) => begin), ends, axes].map((numbers) => build.integers(numbers));
  return build.call('Slice', [scope.inputs[0]!, ...parts]);
};

const pairSchema = z.tuple([z.number(), z.number()]);

/** [[before, after], …], [n, m] or n; along one axis [before, after]. */
const bordersOf = (scope: LayerScope, key: string): [number, number][] => {
  const axes = scope.shape.length - 2;
  const raw = scope.layer.config[key] ?? 1;
  const schema = z.union([z.number(), z.array(z.union([z.number(), pairSchema]))]);
  const parsed = schema.safeParse(raw);
  if (!parsed.success) return refuse(scope, `has ${key}: ${JSON.stringify(raw)}, which is not understood`);
  const given = parsed.data;
  if (typeof given === 'number') return Array.from({ length: axes }, () => [given, given]);
  const pair = pairSchema.safeParse(given);
  if (axes === 1 && pair.success) return [pair.data];
  return given.map((entry) => (typeof entry === 'number' ? [entry, entry] : entry));
};

/** Positions repeated, or interpolated as tf.js does it: corners and centres not aligned. */
export const upsamplingLayer: LayerBuilder = (scope) => {
  const { build } = scope;
  const size = optionsOf(scope).numbers('size', scope.shape.length - 2, 2);
  const mode = optionsOf(scope).text('interpolation', 'nearest');
  if (mode !== 'nearest' && mode !== 'bilinear') return refuse(scope, `interpolates by ${mode}`);
  const scales = build.floats([size.length + 2], [1, 1, ...size], 'float32');
  const x = channelsFirst(scope, scope.inputs[0]!);
  const y = build.call('Resize', [x, undefined, scales], {
    mode: textAttribute(mode === 'nearest' ? 'nearest' : 'linear'),
    coordinate_transformation_mode: textAttribute('asymmetric'),
    ...(mode === 'nearest' ? { nearest_mode: textAttribute('floor') } : {}),
  });
  return channelsLast(scope, y);
};

/** Axes between batch and channels. */
export const positionAxes = (scope: LayerScope): number[] =>
  Array.from({ length: scope.shape.length - 2 }, (_, axis) => axis + (isChannelsFirst(scope) ? 2 : 1));
