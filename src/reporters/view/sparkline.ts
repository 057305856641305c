const bars = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const;

/** Values that span more than this factor are shown by their logarithms. */
const widestLinear = 50;

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** At most `width` values: means of neighbours where there are more. */
const condense = (values: readonly number[], width: number): number[] => {
  if (values.length <= width) return [...values];
  return Array.from({ length: width }, (_, index) =>
    mean(values.slice(Math.floor((index * values.length) / width), Math.floor(((index + 1) * values.length) / width))),
  );
};

/** One character a value, at most `width`; values that are not finite are left out. Equal values lie at the bottom. */
export const sparkline = (values: readonly number[], width: number): string => {
  const known = condense(
    values.filter((value) => Number.isFinite(value)),
    width,
  );
  if (known.length === 0) return '';
  const smallest = Math.min(...known);
  const logarithmic = smallest > 0 && Math.max(...known) / smallest > widestLinear;
  const heights = logarithmic ? known.map(Math.log) : known;
  const low = Math.min(...heights);
  const range = Math.max(...heights) - low;
  const top = bars.length - 1;
  return heights.map((height) => bars[range > 0 ? Math.round(((height - low) / range) * top) : 0]).join('');
};
