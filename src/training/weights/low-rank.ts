import { floatTensor } from '../../ir/read.ts';
import { elementCount } from '../../ir/shape.ts';
import { addInto, matmul } from '../../kernels/index.ts';
import type { Random } from '../../random.ts';
import type { TrainedWeight } from './weight.ts';

export interface LowRankOptions {
  readonly rank: number;
  /** The product of the factors is multiplied by alpha / rank. */
  readonly alpha: number;
  readonly random: Random;
}

/**
 * A low-rank adapter (Hu et al. 2022, LoRA): W + (alpha / rank)·L R with L (a, rank) zero and R (rank, b) random at the
 * start; only the factors are trained, and the product is added to the weight for every step and in the result. The
 * weight's array is seen as a matrix of its first axis by all others.
 */
export const lowRankWeight = (
  name: string,
  shape: readonly number[],
  weight: Float32Array,
  { rank, alpha, random }: LowRankOptions,
): TrainedWeight => {
  const rows = shape[0] ?? 1;
  const columns = elementCount(shape.slice(1));
  const factor = alpha / rank;
  const size = Math.sqrt(weight.reduce((sum, value) => sum + value * value, 0) / Math.max(1, weight.length));
  const merge = async ([left, right]: readonly Float32Array[]): Promise<Float32Array> => {
    const scaled = left!.map((value) => value * factor);
    const merged = await matmul({ a: scaled, b: right!, rows, inner: rank, columns });
    addInto(merged, weight);
    return merged;
  };
  return {
    name,
    parameters: [
      {
        name: `${name}#left`,
        shape: [rows, rank],
        group: 'matrix',
        initial: new Float32Array(rows * rank),
        // A relative step of this factor changes the product by the same share of the weight.
        unit: (size * Math.sqrt(columns / rank)) / factor,
      },
      {
        name: `${name}#right`,
        shape: [rank, columns],
        group: 'matrix',
        initial: random.normals(rank * columns, 1 / Math.sqrt(columns)),
      },
    ],
    leafShape: shape,
    arrangement: { kind: 'whole' },
    leaf: merge,
    pullBack: async ([left, right], gradient) => {
      const scaled = gradient.map((value) => value * factor);
      return [
        await matmul({ a: scaled, b: right!, rows, inner: columns, columns: rank, transposeB: true }),
        await matmul({ a: left!, b: scaled, rows: rank, inner: rows, columns, transposeA: true }),
      ];
    },
    tensor: async (values) => floatTensor(shape, await merge(values)),
  };
};
