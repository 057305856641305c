import type { Dataset, NumericArray, Sample } from '../calibration/dataset.ts';
import { CompressError } from '../errors.ts';
import { evaluateDim } from '../ir/dimension.ts';
import { elementCount } from '../ir/shape.ts';
import type { Random } from '../random.ts';
import type { NoiseInput } from './fisher.ts';

/** @throws 'data' for samples with carried state. */
export const plainSample = (sample: Sample, dataset: Dataset, index: number): Exclude<Sample, { kind: 'sequence' }> => {
  if (sample.kind !== 'sequence') return sample;
  throw new CompressError({
    code: 'data',
    message: `sample ${index} of ${dataset.description} carries state from step to step, through which gradients are not taken`,
    hint: 'Use independent windows (arrays).',
  });
};

/** Signs for one output, and how many items (decisions, or numbers of a regression) it has. */
export interface Noise {
  readonly array: NumericArray;
  readonly items: number;
}

/** @throws 'unsupported' when the shape does not follow from the symbols of the inputs. */
export const drawNoise = (
  { shape, classes }: NoiseInput,
  symbols: ReadonlyMap<string, number>,
  random: Random,
): Noise => {
  const lengths = shape.map((dim) => {
    const length = evaluateDim(dim, symbols);
    if (length !== null) return length;
    throw new CompressError({
      code: 'unsupported',
      message: `the output's dimension ${dim ?? '?'} does not follow from the model's inputs`,
      hint: 'Give the model inputs with named or fixed dimensions.',
    });
  });
  const count = elementCount(lengths);
  const items = classes === undefined ? count : count / lengths[classes]!;
  return { array: { dtype: 'float32', shape: lengths, data: random.signs(count) }, items };
};
