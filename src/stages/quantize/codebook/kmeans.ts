/** Entries of a table by rising value, and the entry that each number is nearest to. */
export interface Clustering {
  readonly table: Float64Array;
  readonly codes: Uint8Array;
  /** Σ weight · (value − entry)². */
  readonly error: number;
}

/** Prefix sums over sorted values: the error of putting a run of them into one cluster takes constant time. */
class RunSums {
  readonly #weight: Float64Array;
  readonly #first: Float64Array;
  readonly #second: Float64Array;

  constructor(values: ArrayLike<number>, weights: ArrayLike<number>) {
    const { length } = values;
    [this.#weight, this.#first, this.#second] = [1, 2, 3].map(() => new Float64Array(length + 1)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    for (let index = 0; index < length; index++) {
      const [value, weight] = [values[index]!, weights[index]!];
      this.#weight[index + 1] = this.#weight[index]! + weight;
      this.#first[index + 1] = this.#first[index]! + weight * value;
      this.#second[index + 1] = this.#second[index]! + weight * value * value;
    }
  }

  /** Mean of the values from `begin` to `end`. */
  mean(begin: number, end: number): number {
    const weight = this.#weight[end]! - this.#weight[begin]!;
    return weight > 0 ? (this.#first[end]! - this.#first[begin]!) / weight : 0;
  }

  /** Σ weight · (value − mean)² over them. */
  error(begin: number, end: number): number {
    const weight = this.#weight[end]! - this.#weight[begin]!;
    if (weight <= 0) return 0;
    const first = this.#first[end]! - this.#first[begin]!;
    return Math.max(0, this.#second[end]! - this.#second[begin]! - (first * first) / weight);
  }
}

/**
 * One row of the dynamic program: the least error of the first `end` values in one cluster more. The best begin of the
 * last cluster never falls when `end` grows, so that halves of the range bound each other.
 */
const nextRow = (sums: RunSums, before: Float64Array, begins: Int32Array): Float64Array => {
  const count = before.length - 1;
  const row = new Float64Array(count + 1);
  const solve = (from: number, to: number, least: number, most: number): void => {
    if (from > to) return;
    const end = (from + to) >> 1;
    let [best, at] = [Number.POSITIVE_INFINITY, least];
    for (let begin = least; begin <= Math.min(most, end); begin++) {
      const error = before[begin]! + sums.error(begin, end);
      if (error < best) [best, at] = [error, begin];
    }
    row[end] = best;
    begins[end] = at;
    solve(from, end - 1, least, at);
    solve(end + 1, to, at, most);
  };
  solve(0, count, 0, count);
  return row;
};

/**
 * The table of `entries` numbers with the least weighted squared error for these values, exactly: in one dimension
 * clusters are runs of the sorted values, and dynamic programming finds the best cuts (Wang & Song 2011) in
 * O(entries · n log n). Entries that no value needs repeat the last one.
 * @param weights not negative; values of weight 0 go to the nearest entry
 */
export const optimalTable = (values: Float32Array, weights: Float64Array, entries: number): Clustering => {
  const counted = [...values.keys()].filter((index) => weights[index]! > 0);
  const order = (counted.length > 0 ? counted : [...values.keys()]).sort((a, b) => values[a]! - values[b]!);
  const sorted = order.map((index) => values[index]!);
  const sums = new RunSums(sorted, counted.length > 0 ? order.map((index) => weights[index]!) : sorted.map(() => 1));
  const clusters = Math.min(entries, sorted.length);
  const cuts: Int32Array[] = [];
  let row = Float64Array.from({ length: sorted.length + 1 }, (_, end) => sums.error(0, end));
  for (let cluster = 1; cluster < clusters; cluster++) {
    const begins = new Int32Array(sorted.length + 1);
    row = nextRow(sums, row, begins) as typeof row;
    cuts.push(begins);
  }
  const table = new Float64Array(entries);
  let end = sorted.length;
  for (let cluster = clusters - 1; cluster >= 0; cluster--) {
    const begin = cluster > 0 ? cuts[cluster - 1]![end]! : 0;
    table[cluster] = end > begin ? sums.mean(begin, end) : (table[cluster + 1] ?? 0);
    end = begin;
  }
  for (let cluster = clusters; cluster < entries; cluster++) table[cluster] = table[clusters - 1]!;
  return { table, codes: nearestCodes(values, table), error: row.at(-1)! };
};

/** For each value the entry of a table (in any order) that it is nearest to. */
export const nearestCodes = (values: ArrayLike<number>, table: Float64Array): Uint8Array =>
  Uint8Array.from(values, (value) => {
    let best = 0;
    for (let entry = 1; entry < table.length; entry++)
      if (Math.abs(value - table[entry]!) < Math.abs(value - table[best]!)) best = entry;
    return best;
  });
