/** What divisors are made from: numbers of each channel, (channels), and which channels go together. */
export interface ChannelSizes {
  /** Largest magnitude of the input. */
  readonly inputs: Float32Array;
  /** Largest magnitude of the columns that the channel meets. */
  readonly weights: Float32Array;
  /** Channels of one class have one divisor; class 0 is not divided. */
  readonly classes: Int32Array;
}

/**
 * What a divisor follows: 'input': s_j = |x_j|^α (AWQ, Lin et al. 2023, section 3.2, with the largest magnitude for the mean one);
 * 'ratio': s_j = (|x_j| / |w_j|)^α, which at α = ½ is SmoothQuant (Xiao et al. 2022, equation 4).
 */
export type DivisorRule = 'input' | 'ratio';

/** Divisors lie within 2^±10 of their middle: what is larger is no imbalance but a dead channel. */
const widest = 10;

/**
 * s (channels): the divisors of a value, geometric mean 1. Strength α = 0 gives ones. Dead channels (no input or no
 * weight) get what the middle of the others gets.
 */
export const divisorsOf = (sizes: ChannelSizes, rule: DivisorRule, strength: number): Float32Array => {
  const { inputs, weights, classes } = sizes;
  const sums = new Map<number, { total: number; count: number }>();
  for (const [channel, input] of inputs.entries()) {
    const weight = weights[channel]!;
    const id = classes[channel]!;
    if (id === 0 || !(input > 0) || !(weight > 0)) continue;
    const known = sums.get(id) ?? { total: 0, count: 0 };
    known.total += Math.log2(input) - (rule === 'ratio' ? Math.log2(weight) : 0);
    known.count++;
    sums.set(id, known);
  }
  const logs = new Map([...sums].map(([id, { total, count }]) => [id, total / count]));
  const middle = logs.size === 0 ? 0 : [...logs.values()].reduce((sum, log) => sum + log, 0) / logs.size;
  return Float32Array.from(classes, (id) => {
    if (id === 0) return 1;
    const distance = (logs.get(id) ?? middle) - middle;
    return 2 ** (strength * Math.min(Math.max(distance, -widest), widest));
  });
};

/** Largest magnitude in each column of a matrix (rows, columns). */
export const columnMaxima = (matrix: Float32Array, columns: number): Float32Array => {
  const maxima = new Float32Array(columns);
  for (let index = 0; index < matrix.length; index++) {
    const column = index % columns;
    maxima[column] = Math.max(maxima[column]!, Math.abs(matrix[index]!));
  }
  return maxima;
};
