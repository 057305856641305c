import { extremesOf, hullOf, type Range, type RangeMethod } from './range-method.ts';

/** The extremes of everything observed: nothing is ever clipped. */
export const minMax: RangeMethod = {
  name: 'minmax',
  summary: 'smallest and largest value seen',
  observer: () => {
    let seen: Range | undefined;
    return {
      observe: (values) => {
        if (values.length === 0) return;
        const { low, high } = extremesOf(values);
        seen = seen ? hullOf(seen, { low, high }) : { low, high };
      },
      range: () => seen,
    };
  },
};
