import { Histogram } from './histogram.ts';
import type { RangeMethod } from './range-method.ts';

/** Leaves the rarest values outside: the same share at either end. Streams: memory does not grow with the data. */
export const percentile: RangeMethod = {
  name: 'percentile',
  summary: 'all but the rarest values, from a streamed histogram',
  observer: (purpose) => {
    const histogram = new Histogram();
    const outside = (1 - purpose.percentile / 100) / 2;
    return {
      observe: (values) => histogram.add(values),
      range: () => histogram.extremes && { low: histogram.quantile(outside), high: histogram.quantile(1 - outside) },
    };
  },
};
