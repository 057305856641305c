import { Histogram } from './histogram.ts';
import type { Range, RangeMethod, RangePurpose } from './range-method.ts';

/** Ends are tried at these shares of the extremes: 1, 0.98, … down to 0.2. */
const shares = Array.from({ length: 41 }, (_, index) => 1 - index / 50);

/** What values beyond a bound cost when they are clipped to it: sum of (value - bound)² over bins taken as points. */
type ClippingCost = (bound: number) => number;

const clippingCosts = (histogram: Histogram): { readonly below: ClippingCost; readonly above: ClippingCost } => {
  const points = [...histogram.bins()].map(({ low, high, count }) => ({ value: (low + high) / 2, count }));
  const cost = (beyond: (value: number, bound: number) => boolean): ClippingCost => {
    return (bound) =>
      points.reduce((sum, { value, count }) => (beyond(value, bound) ? sum + count * (value - bound) ** 2 : sum), 0);
  };
  return { below: cost((value, bound) => value < bound), above: cost((value, bound) => value > bound) };
};

/**
 * The range with the least mean square error: rounding costs step²/12 for every value that is not exactly zero,
 * clipping costs the squared distance to the end.
 */
const bestRange = (histogram: Histogram, extremes: Range, purpose: RangePurpose): Range => {
  const { below, above } = clippingCosts(histogram);
  const zeros = [...histogram.bins()].find(({ low, high }) => low === 0 && high === 0)?.count ?? 0;
  const rounded = histogram.total - zeros;
  const low = Math.min(extremes.low, 0);
  const high = Math.max(extremes.high, 0);
  const lows = shares.map((share) => ({ end: low * share, cost: below(low * share) }));
  const highs = shares.map((share) => ({ end: high * share, cost: above(high * share) }));
  let best = { low, high, cost: Number.POSITIVE_INFINITY };
  for (const bottom of low < 0 ? lows : lows.slice(0, 1))
    for (const top of high > 0 ? highs : highs.slice(0, 1)) {
      const width = purpose.symmetric ? 2 * Math.max(-bottom.end, top.end) : top.end - bottom.end;
      const cost = (rounded * (width / (purpose.levels - 1)) ** 2) / 12 + bottom.cost + top.cost;
      if (cost < best.cost) best = { low: bottom.end, high: top.end, cost };
    }
  return { low: best.low, high: best.high };
};

/** Trades rounding error against clipping error over a streamed histogram. */
export const meanSquare: RangeMethod = {
  name: 'mse',
  summary: 'the range with the least mean square error',
  observer: (purpose) => {
    const histogram = new Histogram();
    return {
      observe: (values) => histogram.add(values),
      range: () => histogram.extremes && bestRange(histogram, histogram.extremes, purpose),
    };
  },
};
