import { z } from 'zod';
import type { RoundingMethodName } from '../methods/index.ts';
import { rangeMethodNames } from './ranges/table.ts';
import type { SmoothChoice } from './smooth/search.ts';

/** How the ends of an activation's range are found. */
export interface RangeChoice {
  readonly method: (typeof rangeMethodNames)[number];
  /** Share of the values that stay inside the range, in percent; read by 'percentile' only. */
  readonly percentile: number;
}

/** Whether and how far inputs of products are scaled channel by channel before they are rounded (smooth/). */
export type Smoothing = 'none' | SmoothChoice;

/** Static quantization of activations, every field decided. */
export interface StaticActivations {
  readonly mode: 'static';
  readonly type: 'uint8' | 'int8';
  /** Whether zero is the middle of the code range. */
  readonly symmetric: boolean;
  readonly ranges: RangeChoice;
  /** One scale per output channel of a weight, or one per weight. */
  readonly granularity: 'channel' | 'tensor';
  /** How integer weights are stored: 'uint8' with the zero point 128. int8 activations go with int8 weights only. */
  readonly weightType: 'uint8' | 'int8';
  /** Codes of weights: ±127, or ±63, with which signed products saturate on no processor. */
  readonly weightBits: 7 | 8;
  readonly smooth: Smoothing;
  /** Whether ranges of weights are equalised between neighbouring products first (equalize/). */
  readonly equalize: boolean;
  /** Whether biases take back what rounding weights does to the mean of outputs (bias/). */
  readonly correctBias: boolean;
  /** What happens to arithmetic that no weight product follows (box decoding, pooling before a softmax). */
  readonly head: 'float' | 'quantized';
}

/** Dynamic quantization: ranges of activations are measured at run time, every field decided. */
export interface DynamicActivations {
  readonly mode: 'dynamic';
  /** How integer weights are stored. */
  readonly weightType: 'uint8' | 'int8';
  readonly granularity: 'channel' | 'tensor';
  readonly weightBits: 7 | 8;
  /** One scale for each row of what a matrix product reads (a token), or one for all of it. */
  readonly perToken: boolean;
  readonly smooth: Smoothing;
  /** A product whose output would have a lower signal-to-noise ratio (decibels, on the calibration data) is kept. */
  readonly leastSnrDb: number;
}

export type Activations = { readonly mode: 'none' } | StaticActivations | DynamicActivations;

/** Which sites a request is about: patterns as the stage reads them (see weights/select.ts). */
export interface SitePatterns {
  readonly targets: readonly string[];
  readonly ignore: readonly string[];
}

/** How the integers of weights are chosen. */
export interface WeightRounding {
  readonly method: RoundingMethodName | 'auto';
}

export type StaticOptions = Omit<StaticActivations, 'mode'> & SitePatterns & WeightRounding;
export type DynamicOptions = Omit<DynamicActivations, 'mode'> & SitePatterns & WeightRounding;

/** Percentile that a recipe gets which names the method alone. */
const defaultPercentile = 99.999;

const rangesInput = z.union([
  z.enum(rangeMethodNames),
  z.strictObject({ percentile: z.number().gt(50).lte(100) }).describe('Share of the values kept inside, in percent.'),
]);

const perChannel = z
  .boolean()
  .default(true)
  .describe('One weight scale per output channel (default), or false for one per weight.');

const weightType = z
  .enum(['uint8', 'int8'])
  .describe(
    'How integer weights are stored. uint8 (default, zero point 128) is exact on every processor; int8 is faster with VNNI or on ARM, but x86 processors without VNNI saturate its products.',
  );

const reduceRange = z
  .boolean()
  .default(false)
  .describe('Weights in ±63: signed products then never saturate, on processors without VNNI either.');

const smoothInput = z
  .union([z.enum(['none', 'auto']), z.number().min(0).max(1)])
  .describe(
    'Scale the inputs of matrix products channel by channel, and their weights the other way, so that one range suits all channels (SmoothQuant): folded into norms and products before where the graph allows. auto (default): the strength of least output error for each input, by calibration data where there are some; a number: this strength everywhere, 0.5 as published; none.',
  );

const staticInput = z
  .strictObject({
    mode: z.literal('static').default('static'),
    bits: z.literal(8).default(8),
    type: z
      .enum(['uint8', 'int8'])
      .default('uint8')
      .describe('Element type of activations: uint8 suits x86, int8 ARM.'),
    sym: z.boolean().optional().describe('Zero in the middle of the code range (default false).'),
    symmetric: z.boolean().optional().describe('Alias of sym.'),
    ranges: rangesInput
      .default('minmax')
      .describe('How calibration data become ranges: minmax, percentile, { percentile: 99.99 }, entropy, or mse.'),
    per_channel: perChannel,
    weight_type: weightType.optional(),
    reduce_range: reduceRange,
    smooth: smoothInput.default('auto'),
    equalize: z
      .boolean()
      .default(false)
      .describe(
        'Scale channels between neighbouring products so that both weights have equal ranges (cross-layer equalisation). Default false: it helps where weights have one scale for all channels (per_channel: false).',
      ),
    bias_correction: z
      .boolean()
      .default(false)
      .describe(
        'Let the biases of convolutions and Gemm take back what the rounding of weights does to the mean of their outputs (default false).',
      ),
    head: z
      .enum(['float', 'quantized'])
      .default('float')
      .describe('Arithmetic after the last weight product (box decoding, final pooling): kept in float by default.'),
  })
  .refine((input) => input.sym === undefined || input.symmetric === undefined, {
    message: '"symmetric" is an alias of "sym": keep one of them',
    path: ['symmetric'],
  })
  .refine((input) => input.type !== 'int8' || input.weight_type !== 'uint8', {
    message: 'int8 activations need int8 weights: runtimes multiply signed codes by signed ones only',
    path: ['weight_type'],
  })
  .describe('Static quantization: ranges of activations are fixed from calibration data.');

const dynamicInput = z
  .strictObject({
    mode: z.literal('dynamic'),
    weight_type: weightType.default('uint8'),
    per_channel: perChannel,
    reduce_range: reduceRange,
    per_token: z
      .boolean()
      .default(true)
      .describe(
        'One scale for each token (row) that a matrix product reads (default), or false for one for the whole tensor.',
      ),
    smooth: smoothInput.default('auto'),
    least_snr: z
      .number()
      .min(0)
      .default(20)
      .describe('A product whose quantized output has a lower signal-to-noise ratio (dB, calibration data) is kept.'),
  })
  .describe('Dynamic quantization: ranges of activations are measured at run time.');

/** `activations` of a recipe, as it is written. An object without `mode` means static. */
export const activationsInput = z
  .union([z.enum(['none', 'dynamic', 'static']), dynamicInput, staticInput])
  .describe('What happens to the activations of weight products: none, dynamic, static, or an object.');

export type ActivationsInput = z.infer<typeof activationsInput>;

const rangeChoice = (input: z.infer<typeof rangesInput>): RangeChoice =>
  typeof input === 'string'
    ? { method: input, percentile: defaultPercentile }
    : { method: 'percentile', percentile: input.percentile };

/** The decided form of `activations`. */
export const normaliseActivations = (input: ActivationsInput): Activations => {
  if (input === 'none') return { mode: 'none' };
  if (input === 'dynamic') return normaliseActivations(dynamicInput.parse({ mode: 'dynamic' }));
  if (input === 'static') return normaliseActivations(staticInput.parse({}));
  const granularity = input.per_channel ? 'channel' : 'tensor';
  const weightBits = input.reduce_range ? 7 : 8;
  if (input.mode === 'dynamic')
    return {
      mode: 'dynamic',
      weightType: input.weight_type,
      granularity,
      weightBits,
      perToken: input.per_token,
      smooth: input.smooth,
      leastSnrDb: input.least_snr,
    };
  return {
    mode: 'static',
    type: input.type,
    symmetric: input.sym ?? input.symmetric ?? false,
    ranges: rangeChoice(input.ranges),
    granularity,
    weightType: input.weight_type ?? input.type,
    weightBits,
    smooth: input.smooth,
    equalize: input.equalize,
    correctBias: input.bias_correction,
    head: input.head,
  };
};
