import { matmul } from '../../../kernels/index.ts';

export interface MagrInput {
  /** W (rows, columns). */
  readonly weight: Float32Array;
  readonly rows: number;
  readonly columns: number;
  /** Columns that share a range. */
  readonly groupSize: number;
  /** H (columns, columns), symmetric. */
  readonly gram: Float64Array;
  /** How much small ranges count against equal outputs: the part of a group's weights, by size, that may be cut off. */
  readonly share: number;
  readonly signal: AbortSignal;
}

/** Proximal steps: the reference takes 200, but nothing moves any more after half of them. */
const steps = 100;
const powerSteps = 30;

/** σ_max of a symmetric positive semi-definite matrix (n, n), from below, by power iteration. */
const largestEigenvalue = async (matrix: Float32Array, n: number): Promise<number> => {
  let vector = new Float32Array(n).fill(1 / Math.sqrt(n));
  let length = 0;
  for (let step = 0; step < powerSteps; step++) {
    const image = await matmul({ a: vector, b: matrix, rows: 1, inner: n, columns: n });
    length = Math.hypot(...image);
    if (length === 0) return 0;
    vector = image.map((value) => value / length);
  }
  return length;
};

/**
 * The bound t with Σ max(|v_i| - t, 0) = amount: what the proximal operator of amount · max |v_i| clips at. 0 where all
 * of v is less than that.
 */
const clipBound = (values: Float32Array, amount: number): number => {
  const sizes = values.map(Math.abs).sort().reverse();
  let sum = 0;
  for (const [index, size] of sizes.entries()) {
    sum += size;
    const bound = (sum - amount) / (index + 1);
    const next = sizes[index + 1] ?? 0;
    if (bound >= next) return Math.max(0, bound);
  }
  return 0;
};

/**
 * A weight with smaller ranges and, on the inputs behind H, nearly the same outputs: proximal gradient steps on
 * ½ tr((V - W) H (V - W)ᵀ) + Σ_groups a_g max |V_g| (MagR, Zhang et al. 2024, arXiv 2406.00800, with a penalty a group).
 * The penalty of a group is `share` of what H would charge for taking all its weights away.
 */
export const reduceRanges = async (input: MagrInput): Promise<Float32Array> => {
  const { weight, rows, columns, groupSize, share, signal } = input;
  const gram = new Float32Array(input.gram);
  const lipschitz = (await largestEigenvalue(gram, columns)) * 1.05;
  if (lipschitz === 0 || share === 0) return weight;
  let trace = 0;
  for (let column = 0; column < columns; column++) trace += gram[column * (columns + 1)]!;
  const groups = Math.ceil(columns / groupSize);
  const rangeOf = (row: number, group: number): [number, number] => [
    row * columns + group * groupSize,
    row * columns + Math.min(columns, (group + 1) * groupSize),
  ];
  const amounts = new Float64Array(rows * groups);
  for (let row = 0; row < rows; row++)
    for (let group = 0; group < groups; group++) {
      const size = weight.subarray(...rangeOf(row, group)).reduce((sum, value) => sum + Math.abs(value), 0);
      amounts[row * groups + group] = (share * (trace / columns) * size) / lipschitz;
    }
  const found = weight.slice();
  for (let step = 0; step < steps; step++) {
    const moved = found.map((value, index) => value - weight[index]!);
    const slope = await matmul({ a: moved, b: gram, rows, inner: columns, columns, signal });
    for (let index = 0; index < found.length; index++) found[index]! -= slope[index]! / lipschitz;
    for (let row = 0; row < rows; row++)
      for (let group = 0; group < groups; group++) {
        const [begin, end] = rangeOf(row, group);
        const bound = clipBound(found.subarray(begin, end), amounts[row * groups + group]!);
        for (let index = begin; index < end; index++) found[index] = Math.min(bound, Math.max(-bound, found[index]!));
      }
  }
  return found;
};
