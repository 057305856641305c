import { readFloats } from '../../../ir/read.ts';
import { constantOf } from '../../../ir/walk.ts';
import { orderByScores, type RankingMethod } from './method.ts';

/** Σ |w| of the elements at chosen places of one axis of an array. */
const absoluteSums = (values: Float32Array, shape: readonly number[], axis: number): Float64Array => {
  const length = shape[axis]!;
  const inner = shape.slice(axis + 1).reduce((size, dim) => size * dim, 1);
  const sums = new Float64Array(length);
  for (let index = 0; index < values.length; index++)
    sums[Math.floor(index / inner) % length]! += Math.abs(values[index]!);
  return sums;
};

/**
 * Mean |w| over all constants that a channel lies in, each constant scaled by its own mean (the group importance of
 * DepGraph, Fang et al. 2023, section 3.3, with the L1 norm of Li et al. 2017).
 */
export const magnitude: RankingMethod = {
  summary: 'size of the weights of a channel (L1, over all constants that it lies in)',
  needs: 'nothing',
  allocation: 'uniform',
  rank: async ({ pool }) => {
    const scores = new Float64Array(pool.units.length);
    let first = 0;
    for (const { slices, count } of pool.groups) {
      const weights = slices.filter(({ value }) => (constantOf(value)?.shape.length ?? 0) > 1);
      for (const { value, axis, elements } of weights) {
        const tensor = constantOf(value)!;
        const sums = absoluteSums(readFloats(tensor), tensor.shape, axis);
        const own = elements.map((list) => list.reduce((sum, element) => sum + sums[element]!, 0));
        const mean = own.reduce((sum, value) => sum + value, 0) / count || 1;
        own.forEach((sum, channel) => {
          scores[first + channel]! += sum / mean / weights.length;
        });
      }
      first += count;
    }
    return orderByScores(scores);
  },
};
