import { CompressError } from '../../../errors.ts';
import { elementCount } from '../../../ir/shape.ts';
import { firstNonFinite } from '../../../kernels/index.ts';

/** An array seen as (outer, channels, inner): the channel axis and what lies on either side of it. */
export interface ChannelView {
  readonly outer: number;
  readonly channels: number;
  readonly inner: number;
}

/** The view of an array of this shape with its channels along `axis`. */
export const channelView = (shape: readonly number[], axis: number): ChannelView => ({
  outer: elementCount(shape.slice(0, axis)),
  channels: shape[axis] ?? 1,
  inner: elementCount(shape.slice(axis + 1)),
});

/** Integers of a weight in the order of its elements, with one scale per channel, or a single scale. */
export interface WeightCodes {
  readonly codes: Int8Array;
  readonly scales: Float32Array;
}

/** Largest magnitude along each channel: (channels). */
export const channelMaxima = (weights: Float32Array, view: ChannelView): Float32Array => {
  const { outer, channels, inner } = view;
  const maxima = new Float32Array(channels);
  let index = 0;
  for (let block = 0; block < outer; block++)
    for (let channel = 0; channel < channels; channel++) {
      let largest = maxima[channel]!;
      const end = index + inner;
      for (; index < end; index++) {
        const weight = weights[index]!;
        const size = weight < 0 ? -weight : weight;
        if (size > largest) largest = size;
      }
      maxima[channel] = largest;
    }
  return maxima;
};

/** Adding and subtracting this rounds a double below 2^51 to the nearest integer, ties to even. */
const roundingShift = 1.5 * 2 ** 52;

export interface WeightProblem {
  readonly weights: Float32Array;
  readonly view: ChannelView;
  /** Codes lie in ±limit: 127 for 8 bits. */
  readonly limit: number;
  readonly granularity: 'channel' | 'tensor';
  /** Least scale of each channel (channels), where something else needs one. */
  readonly floors?: Float32Array;
  /** Name of the tensor, for messages. */
  readonly name: string;
}

const refuseNonFinite = (problem: WeightProblem): void => {
  const index = firstNonFinite(problem.weights);
  if (index < 0) return;
  throw new CompressError({
    code: 'numeric',
    message: `weight ${index} is ${problem.weights[index]}`,
    where: { tensor: problem.name },
    hint: 'The checkpoint is damaged, or training diverged.',
  });
};

/**
 * Symmetric integers: the largest magnitude of a channel (or of the whole weight) becomes ±limit, zero is zero.
 * A channel of zeros gets its floor, or the scale 1.
 * @throws CompressError 'numeric' for NaN and infinite weights, naming the tensor and the element.
 */
export const encodeWeight = (problem: WeightProblem): WeightCodes => {
  refuseNonFinite(problem);
  const { weights, view, limit, floors } = problem;
  const maxima = channelMaxima(weights, view);
  const largest = maxima.reduce((a, b) => Math.max(a, b), 0);
  const scaleOf = (maximum: number, floor: number): number => Math.max(maximum / limit, floor) || 1;
  const scales =
    problem.granularity === 'channel'
      ? maxima.map((maximum, channel) => scaleOf(maximum, floors?.[channel] ?? 0))
      : Float32Array.of(scaleOf(largest, floors?.reduce((a, b) => Math.max(a, b), 0) ?? 0));
  return { codes: roundWeight(weights, view, scales, limit), scales };
};

/** One scale for each channel, repeated where there is a single one. */
const scalePerChannel = (scales: Float32Array, channels: number): Float32Array =>
  scales.length === channels ? scales : new Float32Array(channels).fill(scales[0] ?? 1);

/** The nearest codes under given scales (one per channel, or one). */
const roundWeight = (weights: Float32Array, view: ChannelView, scales: Float32Array, limit: number): Int8Array => {
  const { outer, channels, inner } = view;
  const perChannel = scalePerChannel(scales, channels);
  const codes = new Int8Array(weights.length);
  const lowest = -limit;
  let index = 0;
  for (let block = 0; block < outer; block++)
    for (let channel = 0; channel < channels; channel++) {
      const scale = perChannel[channel]!;
      const end = index + inner;
      for (; index < end; index++) {
        const code = weights[index]! / scale + roundingShift - roundingShift;
        codes[index] = Math.min(Math.max(code, lowest), limit);
      }
    }
  return codes;
};

/** The weights that codes stand for. */
export const decodeWeight = ({ codes, scales }: WeightCodes, view: ChannelView): Float32Array => {
  const { outer, channels, inner } = view;
  const perChannel = scalePerChannel(scales, channels);
  const weights = new Float32Array(codes.length);
  let index = 0;
  for (let block = 0; block < outer; block++)
    for (let channel = 0; channel < channels; channel++) {
      const scale = perChannel[channel]!;
      const end = index + inner;
      for (; index < end; index++) weights[index] = codes[index]! * scale;
    }
  return weights;
};
