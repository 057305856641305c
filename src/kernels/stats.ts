import { internalError } from '../errors.ts';
import { addon } from './addon.ts';
import { expectInteger, expectLength } from './expect.ts';
import { callNative, type JobOptions, runJob } from './job.ts';
import type { NativeHistogram } from './native.ts';

/** Extremes of the finite values: Infinity and -Infinity when there are none. */
export interface ValueRange {
  readonly minimum: number;
  readonly maximum: number;
  /** Infinite and NaN values, which are passed over otherwise. */
  readonly nonFinite: number;
}

export const minMax = (values: Float32Array): ValueRange => callNative(() => addon().minMax(values));

/** An array (outer, channels, inner), seen by its channels. */
export interface ChannelLayout {
  readonly outer: number;
  readonly channels: number;
  readonly inner: number;
}

export interface ChannelRanges {
  /** (channels). */
  readonly minimum: Float32Array<ArrayBuffer>;
  /** (channels). */
  readonly maximum: Float32Array<ArrayBuffer>;
  /** Infinite and NaN values of all channels. */
  readonly nonFinite: number;
}

/** Extremes of the finite values of each channel. */
export const minMaxPerChannel = (values: Float32Array, { outer, channels, inner }: ChannelLayout): ChannelRanges => {
  for (const [name, size] of Object.entries({ outer, channels, inner })) expectInteger(name, size, 0, 2 ** 32 - 1);
  expectLength('values', values, outer * channels * inner);
  return callNative(() => addon().minMaxPerChannel(values, outer, channels, inner));
};

/**
 * Counts of a stream whose range is not known beforehand: bins of equal width over ±range, range the least power of two
 * that holds everything seen. When it doubles, bins merge by twos: counts are exact and independent of the order.
 */
export class Histogram {
  readonly bins: number;
  readonly #native: NativeHistogram;

  /** @param bins a positive multiple of 4. */
  constructor(bins = 2048) {
    expectInteger('a quarter of the bins', bins / 4, 1, 2 ** 28);
    this.bins = bins;
    this.#native = callNative(() => new (addon().Histogram)(bins));
  }

  add(values: Float32Array): void {
    callNative(() => this.#native.add(values));
  }

  /** Adds what another histogram with as many bins has seen. */
  merge(other: Histogram): void {
    expectInteger('the bins of the histogram to merge', other.bins, this.bins, this.bins);
    if (other === this) throw internalError('a histogram cannot be merged into itself');
    callNative(() => this.#native.merge(other.#native));
  }

  /** Counts (bins): bin i holds values from -range + i · 2 · range / bins on, the last one its upper end too. */
  counts(): Float64Array<ArrayBuffer> {
    return this.#native.counts();
  }

  /** Half the width of what the bins cover. */
  get range(): number {
    return this.#native.range();
  }

  get extremes(): ValueRange {
    return this.#native.extremes();
  }
}

/** Sums over pairs of elements, in double precision and a fixed order. */
export interface DifferenceSums {
  /** Σ a². */
  readonly signal: number;
  /** Σ (a - b)². */
  readonly noise: number;
  /** Σ a b. */
  readonly dot: number;
  /** Σ b². */
  readonly other: number;
  /** max |a - b|. */
  readonly greatest: number;
}

/** Compares `b` with `a`. NaN in either shows as NaN in the sums that it is part of. */
export const difference = (a: Float32Array, b: Float32Array): DifferenceSums => {
  expectLength('the array to compare', b, a.length);
  return callNative(() => addon().difference(a, b));
};

export interface SoftmaxInput extends JobOptions {
  /** (rows, vocabulary). May hold -Infinity, but no NaN. */
  readonly logits: Float32Array;
  /** (rows), each within the vocabulary. */
  readonly labels: Int32Array;
  /** (rows, vocabulary). */
  readonly reference?: Float32Array | undefined;
}

/** Figures per row; natural logarithms. */
export interface SoftmaxMetrics {
  /** -log p(label). */
  readonly nll: Float64Array<ArrayBuffer>;
  /** 1 where the label has the greatest logit (the first of equal ones). */
  readonly top1: Uint8Array<ArrayBuffer>;
  /** KL(reference ‖ model); only with a reference. */
  readonly kl?: Float64Array<ArrayBuffer>;
  /** 1 where model and reference have the same greatest logit; only with a reference. */
  readonly agree?: Uint8Array<ArrayBuffer>;
}

/**
 * Cross entropy, agreement and divergence of next-token distributions, in double precision.
 * @throws 'numeric' with the row when a label is outside the vocabulary or logits make no distribution.
 */
export const softmaxMetrics = async (input: SoftmaxInput): Promise<SoftmaxMetrics> => {
  const { logits, labels, reference } = input;
  const vocabulary = labels.length === 0 ? 0 : logits.length / labels.length;
  expectInteger('the vocabulary', vocabulary, 0, 2 ** 32 - 1);
  expectLength('logits', logits, labels.length * vocabulary);
  if (reference) expectLength('reference logits', reference, logits.length);
  return runJob(input, (control) => addon().softmaxMetrics(logits, labels, reference ?? null, control));
};
