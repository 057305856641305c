import { CompressError } from '../../errors.ts';
import type { Program, Value } from '../../ir/graph.ts';
import { Random } from '../../random.ts';
import type { Finding } from '../../recipe/events.ts';
import { findTrainable, isPacked, readTrainable, type Trainable } from '../../training/trainable.ts';
import { lowRankWeight } from '../../training/weights/low-rank.ts';
import { plainWeight } from '../../training/weights/plain.ts';
import { quantizedWeight } from '../../training/weights/quantized.ts';
import { scaledWeight } from '../../training/weights/scaled.ts';
import type { TrainedWeight } from '../../training/weights/weight.ts';
import { compileSelector, findUnmatched } from '../select-sites.ts';
import type { DistillOptions } from './options.ts';

export interface Selection {
  readonly chosen: readonly Trainable[];
  readonly findings: readonly Finding[];
}

/**
 * The constants that options ask to train.
 * @throws 'recipe' for a pattern that is no regular expression, 'mismatch' when nothing is left to train.
 */
export const selectTrainable = (program: Program, options: DistillOptions): Selection => {
  const all = findTrainable(program);
  const targets = options.targets.map(compileSelector);
  const ignored = options.ignore.map(compileSelector);
  const chosen = all.filter(
    (one) =>
      targets.some((selector) => selector.matches(one)) &&
      !ignored.some((selector) => selector.matches(one)) &&
      (!options.adapters || one.kind === 'matrix'),
  );
  if (chosen.length === 0)
    throw new CompressError({
      code: 'mismatch',
      message: `none of the ${all.length} weights that could be trained is chosen`,
      where: { key: 'targets' },
      hint: 'Look at targets and ignore; compress plan lists the names.',
    });
  return { chosen, findings: [...findUnmatched('targets', targets, all), ...findUnmatched('ignore', ignored, all)] };
};

/** What is trained for a constant: integers as they are, adapters where they are wanted, else the weight itself. */
const trainedWeight = (one: Trainable, options: DistillOptions, seed: number): TrainedWeight => {
  const { tensor, value, kind } = one;
  const { name } = value;
  if (isPacked(tensor))
    return options.integers === 'trained'
      ? quantizedWeight(name, tensor, { scales: options.scales, zeros: options.zeros, method: 'qad' })
      : scaledWeight(name, tensor, 'qad');
  const { shape } = tensor;
  if (options.adapters && kind === 'matrix') {
    const random = new Random(seed, `adapter of ${name}`);
    return lowRankWeight(name, shape, readTrainable(one), { ...options.adapters, random });
  }
  return plainWeight(name, shape, readTrainable(one), kind);
};

export const trainedWeights = (
  chosen: readonly Trainable[],
  options: DistillOptions,
  seed: number,
): Map<Value, TrainedWeight> => new Map(chosen.map((one) => [one.value, trainedWeight(one, options, seed)]));
