import type { NumericArray } from '../../../../calibration/dataset.ts';
import { floatsOfArray } from '../../../../execution/arrays.ts';
import type { Observer } from '../../../../execution/observe.ts';
import { minMaxPerChannel } from '../../../../kernels/index.ts';
import { Random } from '../../../../random.ts';

/** Extremes of every channel during one run: (channels) each. */
export interface RunExtremes {
  readonly low: Float32Array;
  readonly high: Float32Array;
}

/** Runs whose extremes are kept apart; later ones go to the last. */
const mostRuns = 256;

/** Outstanding rows that are kept, from the first runs. */
const mostOutstanding = 64;

/**
 * What is kept of the input of a product, whatever the number of samples: some of its rows, drawn evenly from all, and
 * the extremes of every channel in every run.
 */
export class InputSample implements Observer {
  readonly channels: number;
  readonly #limit: number;
  readonly #rows: Float32Array;
  readonly #runOf: Int32Array;
  readonly #outstanding: { readonly row: Float32Array; readonly run: number }[] = [];
  readonly #random: Random;
  readonly #runs: RunExtremes[] = [];
  #seen = 0;

  /** @param limit rows to keep. */
  constructor(channels: number, limit: number, seed: number) {
    this.channels = channels;
    this.#limit = limit;
    this.#rows = new Float32Array(channels * limit);
    this.#runOf = new Int32Array(limit);
    this.#random = new Random(seed);
  }

  observe(array: NumericArray, run: number): void {
    const values = floatsOfArray(array);
    const { channels } = this;
    const count = values.length / channels;
    const place = Math.min(run, mostRuns - 1);
    this.#extend(place, values, count);
    this.#keepOutstanding(place, values, count);
    for (let row = 0; row < count; row++) {
      const at = this.#seen < this.#limit ? this.#seen : this.#random.integer(this.#seen + 1);
      this.#seen++;
      if (at >= this.#limit) continue;
      this.#rows.set(values.subarray(row * channels, (row + 1) * channels), at * channels);
      this.#runOf[at] = place;
    }
  }

  /** The row of the run with the largest element. */
  #keepOutstanding(run: number, values: Float32Array, count: number): void {
    if (count === 0 || this.#outstanding.length >= mostOutstanding) return;
    let [at, largest] = [0, -1];
    for (let index = 0; index < values.length; index++) {
      const size = Math.abs(values[index]!);
      if (size > largest) [at, largest] = [index, size];
    }
    const first = Math.floor(at / this.channels) * this.channels;
    this.#outstanding.push({ row: values.slice(first, first + this.channels), run });
  }

  #extend(place: number, values: Float32Array, outer: number): void {
    if (outer === 0) return;
    const { minimum: low, maximum: high } = minMaxPerChannel(values, { outer, channels: this.channels, inner: 1 });
    const known = this.#runs[place];
    this.#runs[place] = known ? hull(known, { low, high }) : { low, high };
  }

  /** Rows drawn evenly from all. */
  get drawn(): number {
    return Math.min(this.#seen, this.#limit);
  }

  /** Rows kept: those drawn, then the one with the largest element of each run. */
  get count(): number {
    return this.drawn + this.#outstanding.length;
  }

  /** (count, channels). */
  get rows(): Float32Array {
    const { channels, drawn } = this;
    const rows = new Float32Array(this.count * channels);
    rows.set(this.#rows.subarray(0, drawn * channels));
    for (const [index, { row }] of this.#outstanding.entries()) rows.set(row, (drawn + index) * channels);
    return rows;
  }

  /** (count): the number of each row's run. */
  get runOf(): Int32Array {
    return Int32Array.of(...this.#runOf.subarray(0, this.drawn), ...this.#outstanding.map(({ run }) => run));
  }

  /** By number of the run; a run without rows is missing. */
  get runs(): readonly (RunExtremes | undefined)[] {
    return this.#runs;
  }

  /** Extremes over all runs. */
  get extremes(): RunExtremes {
    const runs = this.#runs.filter((run) => run !== undefined);
    return runs.reduce(hull, { low: new Float32Array(this.channels), high: new Float32Array(this.channels) });
  }
}

const hull = (a: RunExtremes, b: RunExtremes): RunExtremes => ({
  low: a.low.map((value, channel) => Math.min(value, b.low[channel]!)),
  high: a.high.map((value, channel) => Math.max(value, b.high[channel]!)),
});
