import { floatTensor } from '../../ir/read.ts';
import type { Tensor } from '../../ir/tensor.ts';

/**
 * Channels of a value that a second program holds in other units: there it is `factors` times what it is in the first.
 * Smoothing and equalisation divide what a product reads and multiply its weight, and leave the model's outputs as they were.
 */
export interface ChannelScale {
  /** One factor a channel. */
  readonly factors: Float64Array;
  /** Axes behind that of the channels. */
  readonly behind: number;
}

/** Σ a², Σ a b and Σ b² by channel. */
class ChannelSums {
  readonly behind: number;
  readonly #own: Float64Array;
  readonly #dot: Float64Array;
  readonly #other: Float64Array;

  constructor(channels: number, behind: number) {
    this.behind = behind;
    this.#own = new Float64Array(channels);
    this.#dot = new Float64Array(channels);
    this.#other = new Float64Array(channels);
  }

  get channels(): number {
    return this.#own.length;
  }

  /** @param inner elements of one channel that follow each other */
  add(before: Float32Array, after: Float32Array, inner: number): void {
    const { channels } = this;
    for (let index = 0; index < before.length; index++) {
      const channel = inner === 1 ? index % channels : Math.floor(index / inner) % channels;
      const [a, b] = [before[index]!, after[index]!];
      this.#own[channel]! += a * a;
      this.#dot[channel]! += a * b;
      this.#other[channel]! += b * b;
    }
  }

  /** Least squares: Σ (b − s a)² is least for s = Σ a b / Σ a². Channels of zeros and turned ones keep their unit. */
  fit(): { readonly scale: ChannelScale; readonly noise: number; readonly signal: number } {
    let [noise, signal] = [0, 0];
    const factors = this.#own.map((own, channel) => {
      const dot = this.#dot[channel]!;
      const factor = own > 0 && dot > 0 ? dot / own : 1;
      noise += Math.max(0, this.#other[channel]! - 2 * factor * dot + factor * factor * own);
      signal += factor * factor * own;
      return factor;
    });
    return { scale: { factors, behind: this.behind }, noise, signal };
  }
}

/** An error that factors of channels bring down to a quarter (6 dB) is one of units. */
const leastGain = 4;

/** Finds out whether the channels of a value have other units: along the last axis, or the second of a picture. */
export class ScaleSearch {
  #along: ChannelSums[] | undefined;

  add(shape: readonly number[], before: Float32Array, after: Float32Array): void {
    this.#along ??= [
      ...(shape.length > 1 ? [new ChannelSums(shape.at(-1)!, 0)] : []),
      ...(shape.length === 4 ? [new ChannelSums(shape[1]!, 2)] : []),
    ];
    // Axes whose length changes from run to run hold positions.
    this.#along = this.#along.filter(({ channels, behind }) => shape.at(-1 - behind) === channels);
    for (const sums of this.#along)
      sums.add(
        before,
        after,
        shape.slice(shape.length - sums.behind).reduce((size, length) => size * length, 1),
      );
  }

  /** @param noise Σ (b − a)² over all elements */
  result(noise: number): ReturnType<ChannelSums['fit']> | undefined {
    const [best] = (this.#along ?? []).map((sums) => sums.fit()).sort((a, b) => a.noise - b.noise);
    return best && best.noise * leastGain < noise ? best : undefined;
  }
}

/** What a value is multiplied by to have the second program's units ('forth'), or the first's again ('back'). */
export const factorTensor = ({ factors, behind }: ChannelScale, direction: 'forth' | 'back'): Tensor =>
  floatTensor(
    [factors.length, ...new Array<number>(behind).fill(1)],
    Float32Array.from(factors, (factor) => (direction === 'forth' ? factor : 1 / factor)),
  );
