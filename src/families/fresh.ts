import { internalError } from '../errors.ts';
import { floatTensor } from '../ir/read.ts';
import { elementCount } from '../ir/shape.ts';
import { DerivedTensor } from '../ir/tensor.ts';
import { Random } from '../random.ts';
import type { TensorSource } from './family.ts';

export interface FreshOptions {
  /** Names that the checkpoint would have. */
  readonly names: readonly string[];
  readonly seed: number;
  /** Standard deviation of matrices (`initializer_range` of configurations). */
  readonly deviation: number;
}

/**
 * Weights before training: normal matrices, gains that change nothing, biases of zero. Each follows from the seed and
 * its own name alone, and is drawn when it is read.
 */
export const freshWeights = ({ names, seed, deviation }: FreshOptions): TensorSource => {
  const known = new Set(names);
  const numbers = (name: string, shape: readonly number[], neutral: 0 | 1): Float32Array => {
    const size = elementCount(shape);
    if (shape.length > 1) return new Random(seed, `fresh ${name}`).normals(size, deviation);
    return new Float32Array(size).fill(/bias$/.test(name) ? 0 : neutral);
  };
  return {
    names,
    has: (name) => known.has(name),
    get: (name) => {
      throw internalError(`the fresh tensor ${name} was asked for without a shape`);
    },
    make: (name, shape, neutral) =>
      new DerivedTensor('float32', shape, () => floatTensor(shape, numbers(name, shape, neutral)).bytes()),
  };
};
