/**
 * Mean over items that come in samples of several (tokens of a window), with its uncertainty. Items of a sample
 * depend on each other, so the variance is that of a ratio of sample sums (Cochran, Sampling Techniques, 1977,
 * section 6.4): Var(R) ≈ n/(n−1) · Σ (sᵢ − R·cᵢ)² / (Σ cᵢ)².
 */
export class SampledMean {
  readonly #sums: number[] = [];
  readonly #counts: number[] = [];

  /** Adds a sample: the sum over its items and their number. Samples without items are left out. */
  add(sum: number, count: number): void {
    if (count === 0) return;
    this.#sums.push(sum);
    this.#counts.push(count);
  }

  /** Items seen. */
  get count(): number {
    return this.#counts.reduce((total, count) => total + count, 0);
  }

  /** NaN when nothing was seen. */
  get mean(): number {
    return this.#sums.reduce((total, sum) => total + sum, 0) / this.count;
  }

  /** Half width of the 95 % confidence interval (normal approximation); undefined for fewer than two samples. */
  get interval(): number | undefined {
    const samples = this.#sums.length;
    if (samples < 2) return undefined;
    const { mean, count } = this;
    const squares = this.#sums.reduce((total, sum, index) => total + (sum - mean * this.#counts[index]!) ** 2, 0);
    return (1.959964 * Math.sqrt((samples / (samples - 1)) * squares)) / count;
  }
}
