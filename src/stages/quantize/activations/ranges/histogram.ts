import { extremesOf, hullOf, type Range } from './range-method.ts';

const binCount = 8192;
const half = binCount / 2;

/** The power of two that is at least `value` (> 0). */
const powerAbove = (value: number): number => {
  const power = 2 ** Math.ceil(Math.log2(value));
  return power < value ? power * 2 : power;
};

/**
 * Counts of values in equal bins over [-reach, reach). The reach is a power of two and doubles, merging bins in pairs,
 * when a value lies beyond it: the result does not depend on how the values were cut into batches. Zero is exactly
 * the border of two bins, and exact zeros (what a Relu makes) are counted apart from the bins.
 */
export class Histogram {
  readonly #counts = new Float64Array(binCount);
  #zeros = 0;
  #reach = 0;
  #total = 0;
  #extremes: Range | undefined;

  /** Takes in finite values. */
  add(values: Float32Array): void {
    if (values.length === 0) return;
    const { low, high } = extremesOf(values);
    this.#extremes = this.#extremes ? hullOf(this.#extremes, { low, high }) : { low, high };
    this.#total += values.length;
    const size = Math.max(Math.abs(low), Math.abs(high));
    if (size > 0) this.#grow(size);
    const perBin = half / this.#reach;
    for (let index = 0; index < values.length; index++) {
      const value = values[index]!;
      if (value === 0) this.#zeros++;
      else this.#counts[Math.min(Math.floor(value * perBin) + half, binCount - 1)]!++;
    }
  }

  #grow(size: number): void {
    const needed = powerAbove(size);
    if (this.#reach === 0) this.#reach = needed;
    for (; this.#reach < needed; this.#reach *= 2) this.#mergePairs();
  }

  #mergePairs(): void {
    const merged = new Float64Array(binCount);
    for (let bin = 0; bin < binCount; bin++) merged[half / 2 + (bin >> 1)]! += this.#counts[bin]!;
    this.#counts.set(merged);
  }

  /** Number of values taken in. */
  get total(): number {
    return this.#total;
  }

  /** Exact extremes; undefined before the first value. */
  get extremes(): Range | undefined {
    return this.#extremes;
  }

  /** Occupied bins in ascending order, exact zeros as a bin without width. */
  *bins(): Generator<{ readonly low: number; readonly high: number; readonly count: number }> {
    const width = this.#reach / half;
    for (let bin = 0; bin < binCount; bin++) {
      if (bin === half && this.#zeros > 0) yield { low: 0, high: 0, count: this.#zeros };
      const count = this.#counts[bin]!;
      if (count > 0) yield { low: (bin - half) * width, high: (bin - half + 1) * width, count };
    }
  }

  /** The value that a share (0 to 1) of all values does not exceed, linear inside a bin, within the extremes. */
  quantile(share: number): number {
    const { low, high } = this.#extremes ?? { low: 0, high: 0 };
    const wanted = share * this.#total;
    let passed = 0;
    for (const bin of this.bins()) {
      if (passed + bin.count >= wanted) {
        const inside = bin.low + (bin.high - bin.low) * Math.max(0, (wanted - passed) / bin.count);
        return Math.min(Math.max(inside, low), high);
      }
      passed += bin.count;
    }
    return high;
  }
}
