import { Histogram } from './histogram.ts';
import type { Range, RangeMethod, RangePurpose } from './range-method.ts';

/** Ends are tried at these shares of the extremes: 1, 0.96, … down to 0.2. */
const shares = Array.from({ length: 21 }, (_, index) => 1 - index / 25);

/** Even cells over the whole of the values: fine enough to see how values lie within a code. */
const cellCount = 2048;

interface Cells {
  readonly low: number;
  readonly width: number;
  readonly counts: Float64Array;
}

/** The histogram in even cells over a range. Exact zeros are left out: every grid has them. */
const cellsOf = (histogram: Histogram, { low, high }: Range): Cells => {
  const width = (high - low) / cellCount;
  const counts = new Float64Array(cellCount);
  for (const bin of histogram.bins()) {
    if (bin.low === bin.high) continue;
    const at = Math.floor(((bin.low + bin.high) / 2 - low) / width);
    counts[Math.min(Math.max(at, 0), cellCount - 1)]! += bin.count;
  }
  return { low, width, counts };
};

const sumOf = (numbers: Float64Array): number => numbers.reduce((sum, number) => sum + number, 0);

/** What a cell is taken to have at least, so that one that nothing is left in does not decide alone. */
const leastProbability = 1e-9;

/**
 * KL(P ‖ Q) over the cells [from, to) (Migacz 2017, 8-bit inference with TensorRT): P are the values clipped to them, Q
 * what is inside, the mass of each code spread evenly over those of its cells that hold any. What was clipped is in P's
 * outermost cells and not in Q's, so that clipping costs; so does a code that is wider than what lies in it.
 */
const divergence = ({ counts }: Cells, from: number, to: number, levels: number): number => {
  const inside = counts.subarray(from, to);
  const kept = sumOf(inside);
  if (kept <= 0) return Number.POSITIVE_INFINITY;
  const clipped = inside.slice();
  clipped[0]! += sumOf(counts.subarray(0, from));
  clipped[clipped.length - 1]! += sumOf(counts.subarray(to));
  const total = sumOf(clipped);
  const codeOf = (cell: number): number => Math.floor((cell * levels) / inside.length);
  const mass = new Float64Array(levels);
  const occupied = new Float64Array(levels);
  for (const [cell, count] of inside.entries()) {
    mass[codeOf(cell)]! += count;
    if (count > 0) occupied[codeOf(cell)]! += 1;
  }
  let sum = 0;
  for (const [cell, count] of clipped.entries()) {
    if (count === 0) continue;
    const code = codeOf(cell);
    const q = inside[cell]! > 0 ? mass[code]! / occupied[code]! / kept : 0;
    sum += (count / total) * Math.log(count / total / Math.max(q, leastProbability));
  }
  return sum;
};

/** The range of least divergence among all pairs of ends; with a grid around zero both ends are alike. */
const bestRange = (histogram: Histogram, extremes: Range, { symmetric, levels }: RangePurpose): Range => {
  const [low, high] = [Math.min(extremes.low, 0), Math.max(extremes.high, 0)];
  const size = Math.max(-low, high);
  const whole = symmetric ? { low: -size, high: size } : { low, high };
  if (whole.low === whole.high) return whole;
  const cells = cellsOf(histogram, whole);
  const cellAt = (value: number): number => Math.round((value - whole.low) / cells.width);
  const bottoms = symmetric || low === 0 ? [1] : shares;
  let best = { low, high, cost: Number.POSITIVE_INFINITY };
  for (const tried of bottoms)
    for (const share of high === 0 ? [1] : shares) {
      const [bottom, top] = [whole.low * (symmetric ? share : tried), whole.high * share];
      const cost = divergence(cells, cellAt(bottom), cellAt(top), levels);
      if (cost < best.cost) best = { low: Math.max(bottom, low), high: Math.min(top, high), cost };
    }
  return { low: best.low, high: best.high };
};

/** Keeps the distribution of values: the range through whose codes it looks most like itself. */
export const entropy: RangeMethod = {
  name: 'entropy',
  summary: 'the range whose codes keep the distribution of values, by relative entropy',
  observer: (purpose) => {
    const histogram = new Histogram();
    return {
      observe: (values) => histogram.add(values),
      range: () => histogram.extremes && bestRange(histogram, histogram.extremes, purpose),
    };
  },
};
