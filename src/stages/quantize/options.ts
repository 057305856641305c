import { z } from 'zod';
import {
  activationsInput,
  type DynamicOptions,
  normaliseActivations,
  type StaticOptions,
} from './activations/options.ts';
import type { CodebookOptions } from './codebook/options.ts';
import { type RoundingMethodName, roundingMethods } from './methods/index.ts';
import type { RequestedSettings } from './methods/method.ts';
import { normalisePrecision, type PrecisionOptions, precisionKeys } from './precision/options.ts';
import { normaliseRefine, type RefineOptions, refineInput } from './refine/options.ts';
import { type AlreadyChoice, alreadyChoices } from './weights/already.ts';
import { defaultScheme, normaliseWeights, oneOf, weightsInput } from './weights/options.ts';
import type { RequestedScheme } from './weights/scheme.ts';

/** A change of scheme or method for the sites that a pattern matches. */
export interface Override {
  readonly match: string;
  /** 'keep': the site stays as it is. */
  readonly weights: Partial<RequestedScheme> | 'keep';
  readonly method: RoundingMethodName | 'auto' | undefined;
}

/** Rounding of weights alone, every field decided. */
export interface WeightOptions {
  readonly kind: 'weights';
  /** 'auto': what is measured to be best for the width (weights/automatic.ts). */
  readonly method: RoundingMethodName | 'auto';
  readonly weights: RequestedScheme;
  readonly targets: readonly string[];
  readonly ignore: readonly string[];
  /** The first one that matches a site wins. */
  readonly overrides: readonly Override[];
  readonly settings: RequestedSettings;
  /**
   * What a site's inputs have gone through: 'site': all quantized sites before it; 'block': only the quantized blocks
   * before its own, whose data are run through once more.
   */
  readonly sequential: 'block' | 'site';
  /** Whether inputs and weights of products are rotated first (weights/rotate.ts). */
  readonly rotate: boolean;
  readonly already: AlreadyChoice;
  /** Training of the integers afterwards; undefined: none. */
  readonly refine: RefineOptions | undefined;
}

/** What the stage was asked to do. */
export type QuantizeOptions =
  | WeightOptions
  | ({ readonly kind: 'static' } & StaticOptions)
  | ({ readonly kind: 'dynamic' } & DynamicOptions)
  | ({ readonly kind: 'precision' } & PrecisionOptions)
  | ({ readonly kind: 'codebook' } & CodebookOptions);

const methodNames = ['auto', ...(Object.keys(roundingMethods) as RoundingMethodName[])] as const;

const pattern = z.string().min(1).describe('Site or weight name, glob (*), re:expression, op:Conv or role:down.');

const overrideInput = z
  .strictObject({
    match: pattern,
    weights: z
      .union([z.literal('none'), weightsInput])
      .optional()
      .describe('Keys that differ from `weights`, or none: leave these sites as they are.'),
    method: z.enum(methodNames).optional().describe('Rounding method for these sites.'),
  })
  .describe('Other settings for some sites; the first match wins.');

const damp = z.number().min(0).max(1);

/** Keys that only the rounding of weights looks at. */
const weightKeys = {
  method: z
    .enum(methodNames)
    .optional()
    .describe(
      'How integers are chosen: rtn, gptq, gptaq, foem, qronos, curvature (best, slowest), or auto (default: the best for the width with calibration data, else rtn; the report says which).',
    ),
  weights: weightsInput.optional(),
  overrides: z.array(overrideInput).optional().describe('Other settings for some sites; the first match wins.'),
  damp: damp
    .optional()
    .describe(
      'Share of the mean diagonal of H added to its diagonal (default: 0.01 for gptq, gptaq and foem, more if it has to be; 0.2 for qronos and curvature, which lean that far toward the original weight).',
    ),
  damp_percent: damp.optional().describe('Alias of damp.'),
  dampening_frac: damp.optional().describe('Alias of damp.'),
  act_order: z
    .boolean()
    .optional()
    .describe('gptq: round the inputs with the largest second moment first (default true; no cost when running).'),
  actorder: z.boolean().optional().describe('Alias of act_order.'),
  desc_act: z.boolean().optional().describe('Alias of act_order.'),
  magr: z
    .number()
    .min(0)
    .max(0.5)
    .optional()
    .describe(
      'Lower the largest weights of each group first while outputs stay nearly as they are (MagR): the part of a group, by size, that may be cut off. Default 0 (off). Needs calibration data.',
    ),
  rotate: z
    .boolean()
    .optional()
    .describe(
      'Rotate the inputs of matrix products, and their weights with them, by Hadamard factors, so that no single weight stands out: folded where a product makes the input, else two small products more when running. Default false: it helps with one scale a row and outliers, not with small groups.',
    ),
  sequential: z
    .enum(['block', 'site'])
    .optional()
    .describe(
      'Calibrate a site on inputs that went through the quantized sites before it (site, default), or only through the quantized blocks before its own (block: less exact, and slower).',
    ),
  already_quantized: z
    .enum(alreadyChoices)
    .optional()
    .describe(
      'A model that holds quantized weights: refuse it (default), keep those weights and round the others, or round the values of the integers again.',
    ),
  refine: refineInput.optional(),
} as const;

/** Keys that a conversion of the floating-point type looks at. */
const conversionKeys = {
  precision: precisionKeys.precision.optional(),
  keep: precisionKeys.keep,
  io: precisionKeys.io,
  scope: precisionKeys.scope,
} as const;

const quantizeInput = z
  .strictObject({
    ...weightKeys,
    activations: activationsInput.optional(),
    targets: z
      .array(pattern)
      .optional()
      .describe('Sites to quantize (default all): exact names, globs, re:expression, op:Conv, role:down.'),
    ignore: z.array(pattern).optional().describe('Sites to leave as they are, whatever targets say.'),
    ...conversionKeys,
  })
  .describe('Quantize weights, or weights and activations, or convert the floating-point type.');

type QuantizeInput = z.infer<typeof quantizeInput>;
type Issues = z.core.$RefinementCtx;

/** Reports every key of `keys` that is given although `why` it has no meaning here. */
const refuseKeys = (
  input: QuantizeInput,
  keys: readonly (keyof QuantizeInput)[],
  why: string,
  issues: Issues,
): void => {
  for (const key of keys)
    if (input[key] !== undefined) issues.addIssue({ code: 'custom', message: `"${key}" ${why}`, path: [key] });
};

const namesOf = <T extends object>(keys: T): (keyof T)[] => Object.keys(keys) as (keyof T)[];

const asPrecision = (input: QuantizeInput, issues: Issues): QuantizeOptions => {
  const { precision, keep, io, scope } = input;
  if (precision === undefined) return z.NEVER;
  const others: (keyof QuantizeInput)[] = [...namesOf(weightKeys), 'activations', 'targets', 'ignore'];
  refuseKeys(input, others, 'has no meaning together with "precision"; use a stage of its own', issues);
  return {
    kind: 'precision',
    ...normalisePrecision({
      precision,
      ...(keep ? { keep } : {}),
      ...(io ? { io } : {}),
      ...(scope ? { scope } : {}),
    }),
  };
};

const overridesOf = (input: QuantizeInput, issues: Issues): Override[] =>
  (input.overrides ?? []).map(({ match, weights, method }, index) => ({
    match,
    weights: weights === 'none' ? 'keep' : normaliseWeights(weights ?? {}, issues, ['overrides', index, 'weights']),
    method,
  }));

/** Rounding to tables: of `weights` only their number of bits has a meaning beside it. */
const asCodebook = (input: QuantizeInput, codebook: CodebookOptions['codebook'], issues: Issues): QuantizeOptions => {
  const why = 'has no meaning together with "codebook"';
  refuseKeys(
    input,
    namesOf(weightKeys).filter((key) => key !== 'weights'),
    why,
    issues,
  );
  const bits = input.weights?.bits ?? 4;
  const { bits: _, codebook: __, ...others } = input.weights ?? {};
  for (const key of Object.keys(others))
    issues.addIssue({ code: 'custom', message: `"${key}" ${why}`, path: ['weights', key] });
  if (bits === 'auto' || bits === 8 || (codebook === 'nf4' && bits !== 4)) {
    const known = codebook === 'nf4' ? '4 bits' : '2, 3 or 4 bits';
    issues.addIssue({ code: 'custom', message: `tables of ${codebook} have ${known}`, path: ['weights', 'bits'] });
    return z.NEVER;
  }
  return { kind: 'codebook', codebook, bits, targets: input.targets ?? ['*'], ignore: input.ignore ?? [] };
};

const asWeights = (input: QuantizeInput, issues: Issues): WeightOptions => ({
  kind: 'weights',
  method: input.method ?? 'auto',
  weights: { ...defaultScheme, ...normaliseWeights(input.weights ?? {}, issues, ['weights']) },
  targets: input.targets ?? ['*'],
  ignore: input.ignore ?? [],
  overrides: overridesOf(input, issues),
  settings: {
    damp: oneOf(input, ['damp', 'damp_percent', 'dampening_frac'], issues),
    actOrder: oneOf(input, ['act_order', 'actorder', 'desc_act'], issues) ?? true,
    magr: input.magr ?? 0,
  },
  sequential: input.sequential ?? 'site',
  rotate: input.rotate ?? false,
  already: input.already_quantized ?? 'refuse',
  refine: input.refine === undefined ? undefined : normaliseRefine(input.refine),
});

/** Strict options of the stage: every alias resolved, every default filled in. */
export const quantizeOptions = quantizeInput.transform((input, issues): QuantizeOptions => {
  if (input.precision !== undefined) return asPrecision(input, issues);
  refuseKeys(input, ['keep', 'io', 'scope'], 'has a meaning only together with "precision"', issues);
  const activations = normaliseActivations(input.activations ?? 'none');
  const codebook = input.weights?.codebook;
  if (activations.mode === 'none') return codebook ? asCodebook(input, codebook, issues) : asWeights(input, issues);
  const why = 'belongs to the rounding of weights alone: 8-bit activations decide the weights (see "activations")';
  const bits = input.weights?.bits;
  const eightBits = bits === 8 && Object.keys(input.weights ?? {}).length === 1;
  refuseKeys(
    input,
    namesOf(weightKeys).filter((key) => key !== 'method' && !(key === 'weights' && eightBits)),
    why,
    issues,
  );
  const method = input.method ?? 'rtn';
  if (method !== 'rtn' && (activations.weightBits !== 8 || activations.granularity !== 'channel'))
    issues.addIssue({
      code: 'custom',
      message: `"${method}" rounds to ±127 with one scale per channel: leave per_channel and reduce_range as they are`,
      path: ['method'],
    });
  const patterns = { targets: input.targets ?? ['*'], ignore: input.ignore ?? [], method };
  if (activations.mode === 'static') {
    const { mode: kind, ...settings } = activations;
    return { kind, ...settings, ...patterns };
  }
  const { mode: kind, ...settings } = activations;
  return { kind, ...settings, ...patterns };
});
