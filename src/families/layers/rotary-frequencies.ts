import type { RopeParameters } from '../rope-config.ts';

/**
 * Rotation frequencies of rotary position embeddings (RoFormer, Su et al. 2021, section 3.2.2) and their extensions to
 * longer contexts. Frequencies are rounded to single precision after each step, as models were trained with them.
 */
export interface RotaryFrequencies {
  /** Channels of each head that are rotated; the first ones. Even. */
  readonly channels: number;
  /** Cosines and sines are multiplied by this. */
  readonly attentionFactor: number;
  readonly rule:
    | { readonly kind: 'fixed'; readonly frequencies: Float32Array }
    /** `short` for sequences of at most `limit` positions, `long` beyond. */
    | { readonly kind: 'switched'; readonly short: Float32Array; readonly long: Float32Array; readonly limit: number }
    /** The base grows with the length beyond `limit`: base · (factor · length / limit − (factor − 1))^(d / (d − 2)). */
    | { readonly kind: 'growing'; readonly base: number; readonly factor: number; readonly limit: number };
}

const round = Math.fround;

/** base^(2i / channels), i = 0 .. channels / 2 - 1. */
const wavelengths = (base: number, channels: number): Float32Array =>
  Float32Array.from({ length: channels / 2 }, (_, index) => base ** round((2 * index) / channels));

const plain = (base: number, channels: number): Float32Array => wavelengths(base, channels).map((length) => 1 / length);

/** Position interpolation (Chen et al. 2023). */
const linear = (rope: RopeParameters, channels: number): Float32Array =>
  plain(rope.theta, channels).map((frequency) => frequency / (rope.factor ?? 1));

/** Llama 3.1: long waves are slowed by the factor, short ones kept, those between blended. */
const llama3 = (rope: RopeParameters, channels: number): Float32Array => {
  const { factor = 1, lowFrequencyFactor: low, highFrequencyFactor: high, originalLength } = rope;
  return plain(rope.theta, channels).map((frequency) => {
    const wavelength = round((2 * Math.PI) / frequency);
    if (wavelength > originalLength / low) return frequency / factor;
    if (wavelength < originalLength / high) return frequency;
    const smooth = (originalLength / wavelength - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
};

/** Channel at which a wave turns `rotations` times over `length` positions (YaRN, Peng et al. 2023, section 3.2). */
const correctionChannel = (rotations: number, channels: number, base: number, length: number): number =>
  (channels * Math.log(length / (rotations * 2 * Math.PI))) / (2 * Math.log(base));

/** YaRN (Peng et al. 2023, definition 2): interpolated below, extrapolated above, a linear ramp between. */
const yarn = (rope: RopeParameters, channels: number, factor: number): Float32Array => {
  const { theta, betaFast, betaSlow, originalLength, truncate } = rope;
  const first = correctionChannel(betaFast, channels, theta, originalLength);
  const last = correctionChannel(betaSlow, channels, theta, originalLength);
  const low = Math.max(truncate ? Math.floor(first) : first, 0);
  const high = Math.min(truncate ? Math.ceil(last) : last, channels - 1);
  const width = high === low ? 0.001 : high - low;
  return wavelengths(theta, channels).map((wavelength, index) => {
    const ramp = Math.min(Math.max((index - low) / width, 0), 1);
    return ramp / (factor * wavelength) + (1 - ramp) / wavelength;
  });
};

const magnitude = (scale: number, weight = 1): number => (scale <= 1 ? 1 : 0.1 * weight * Math.log(scale) + 1);

/** YaRN's temperature on attention, section 3.4. */
const yarnAttention = (rope: RopeParameters, factor: number): number => {
  if (rope.attentionFactor !== undefined) return rope.attentionFactor;
  if (rope.mscale && rope.mscaleAllDim) return magnitude(factor, rope.mscale) / magnitude(factor, rope.mscaleAllDim);
  return magnitude(factor);
};

const longAttention = (rope: RopeParameters, factor: number): number => {
  if (rope.attentionFactor !== undefined) return rope.attentionFactor;
  return factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(rope.originalLength));
};

/** LongRoPE (Ding et al. 2024): each frequency has its own factor. */
const longrope = (rope: RopeParameters, channels: number, factors: readonly number[]): Float32Array =>
  wavelengths(rope.theta, channels).map((wavelength, index) => 1 / round((factors[index] ?? 1) * wavelength));

/** The frequencies of a head of `headSize` channels in a model made for `maxPositions` positions. */
export const rotaryFrequencies = (rope: RopeParameters, headSize: number, maxPositions: number): RotaryFrequencies => {
  const channels = Math.floor(headSize * rope.partial);
  const factor = rope.factor ?? maxPositions / rope.originalLength;
  const fixed = (frequencies: Float32Array, attentionFactor = 1): RotaryFrequencies => ({
    channels,
    attentionFactor,
    rule: { kind: 'fixed', frequencies },
  });
  switch (rope.type) {
    case 'default':
      return fixed(plain(rope.theta, channels));
    case 'linear':
      return fixed(linear(rope, channels));
    case 'llama3':
      return fixed(llama3(rope, channels));
    case 'yarn':
      return fixed(yarn(rope, channels, factor), yarnAttention(rope, factor));
    case 'dynamic':
      return {
        channels,
        attentionFactor: 1,
        rule: { kind: 'growing', base: rope.theta, factor, limit: maxPositions },
      };
    case 'longrope':
      return {
        channels,
        attentionFactor: longAttention(rope, factor),
        rule: {
          kind: 'switched',
          short: longrope(rope, channels, rope.shortFactor),
          long: longrope(rope, channels, rope.longFactor),
          limit: rope.originalLength,
        },
      };
  }
};
