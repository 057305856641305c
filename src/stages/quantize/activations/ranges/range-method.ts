/** Ends of the values that a tensor takes; `low <= high`. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

/** What a range will be used for. */
export interface RangePurpose {
  /** Codes of the integer type: 256 for 8 bits. */
  readonly levels: number;
  /** Whether zero will be the middle code. */
  readonly symmetric: boolean;
  /** Share of the values, in percent, that a percentile keeps inside. */
  readonly percentile: number;
}

/** Watches all values of one tensor, batch after batch. */
export interface RangeObserver {
  /** Takes in finite values; the array is not kept. */
  observe(values: Float32Array): void;
  /** The range so far; undefined when nothing was observed. */
  range(): Range | undefined;
}

/** A rule that turns observed values into a range: one file each, listed in table.ts. */
export interface RangeMethod {
  readonly name: string;
  readonly summary: string;
  observer(purpose: RangePurpose): RangeObserver;
}

/** Extremes of an array and whether every element is a finite number. Extremes of nothing are ±Infinity, reversed. */
export const extremesOf = (values: Float32Array): Range & { readonly finite: boolean } => {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  let defect = 0;
  for (let index = 0; index < values.length; index++) {
    const value = values[index]!;
    defect += value * 0;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high, finite: defect === 0 };
};

/** The smallest range that holds both. */
export const hullOf = (a: Range, b: Range): Range => ({
  low: Math.min(a.low, b.low),
  high: Math.max(a.high, b.high),
});
