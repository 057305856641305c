import { z } from 'zod';
import { CompressError } from '../../errors.ts';
import { arrayOfNumbers, filledArray } from '../../execution/arrays.ts';
import type { InputSignature } from '../../execution/signature.ts';
import { isFloat } from '../../ir/data-type.ts';
import { elementCount } from '../../ir/shape.ts';
import { Random } from '../../random.ts';
import type { NumericArray, Sample } from '../dataset.ts';
import { pickAlias } from './fields.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { DatasetContext, DatasetKind } from './kind.ts';

interface RandomOptions {
  readonly distribution: 'normal' | 'uniform';
  readonly samples: number;
  readonly window: number;
  readonly ids: number | undefined;
  readonly dimensions: Readonly<Record<string, number>>;
}

const spec = z
  .strictObject({
    random: z
      .enum(['normal', 'uniform'])
      .nullable()
      .describe(
        'Distribution of floating-point inputs: normal (mean 0, deviation 1; the default) or uniform in [0, 1).',
      ),
    samples: z.int().min(1).optional().describe('How many samples to draw; default 16.'),
    num_samples: z.int().min(1).optional().describe('Alias of samples.'),
    nsamples: z.int().min(1).optional().describe('Alias of samples.'),
    window: z.int().min(2).optional().describe('Tokens of a sample; default 64.'),
    sequence_length: z.int().min(2).optional().describe('Alias of window.'),
    seqlen: z.int().min(2).optional().describe('Alias of window.'),
    ids: z
      .int()
      .min(1)
      .optional()
      .describe('Integer inputs are drawn from 0 to ids - 1; default the vocabulary, else 2.'),
    dimensions: z
      .record(z.string(), z.int().min(1))
      .default({})
      .describe('Sizes of symbolic dimensions by name; batch is 1 and all others are window by default.'),
  })
  .transform(
    (input, issues): RandomOptions => ({
      distribution: input.random ?? 'normal',
      samples: pickAlias(input, ['samples', 'num_samples', 'nsamples'], issues) ?? 16,
      window: pickAlias(input, ['window', 'sequence_length', 'seqlen'], issues) ?? 64,
      ids: input.ids,
      dimensions: input.dimensions,
    }),
  );

/** The shape that one sample of an input gets: the batch (a free first dimension, or one of that name) is one. */
const sampleShape = (input: InputSignature, options: RandomOptions): number[] => {
  if (!input.shape)
    throw new CompressError({
      code: 'data',
      message: `the model does not say what shape its input ${input.name} has`,
      hint: 'Give arrays instead of random data (arrays: inputs.npz).',
    });
  return input.shape.map((dim, axis) => {
    if (typeof dim === 'number') return dim;
    if (dim !== null && Object.hasOwn(options.dimensions, dim)) return options.dimensions[dim] ?? 1;
    return axis === 0 || (dim ?? '').includes('batch') ? 1 : options.window;
  });
};

const drawInput = (input: InputSignature, options: RandomOptions, random: Random, ids: number): NumericArray => {
  const shape = sampleShape(input, options);
  const size = elementCount(shape);
  if (isFloat(input.dtype)) {
    const draw = options.distribution === 'normal' ? () => random.normal() : () => random.float();
    return arrayOfNumbers(input.dtype, shape, Float32Array.from({ length: size }, draw));
  }
  if (input.dtype === 'bool') return filledArray('bool', shape, 1);
  return arrayOfNumbers(
    input.dtype,
    shape,
    Float64Array.from({ length: size }, () => random.integer(ids)),
  );
};

/** One sample: a window of token ids for models that read input_ids, else an array per input. */
const drawSample = (index: number, options: RandomOptions, context: DatasetContext): Sample => {
  const random = new Random(context.seed, `random:${index}`);
  const ids = options.ids ?? context.vocabulary ?? 2;
  if (!context.modelInputs.some((input) => input.name === 'input_ids'))
    return {
      kind: 'arrays',
      arrays: new Map(context.modelInputs.map((input) => [input.name, drawInput(input, options, random, ids)])),
    };
  const scored = new Uint8Array(options.window).fill(1);
  scored[0] = 0;
  return { kind: 'tokens', ids: Int32Array.from({ length: options.window }, () => random.integer(ids)), scored };
};

/** Seeded random inputs: to try a recipe, or for methods that need activations of any kind. */
export const random: DatasetKind<RandomOptions> = {
  name: 'random',
  summary: 'seeded random inputs of the shapes that the model states',
  spec,
  open: async (options, context) => {
    for (const input of context.modelInputs) sampleShape(input, options);
    const facts = { ...options, seed: context.seed, inputs: context.modelInputs, vocabulary: context.vocabulary };
    return {
      description: `random:${options.distribution}`,
      fingerprint: await fingerprintOf('random', facts, []),
      length: options.samples,
      sample: async (index) => drawSample(index, options, context),
    };
  },
};
