import { z } from 'zod';
import { codeWidths, type WeightScheme } from '../quantize/weights/scheme.ts';
import { type PredictorName, predictors } from './predictors.ts';

/** Bits of a code; 'none': the weight stays as it is. */
export type Width = WeightScheme['bits'] | 'none';

/** What an allocation must keep within. */
export type Budget =
  /** Mean bits of a weight, scales and zero points not counted. */
  | { readonly kind: 'average-bits'; readonly most: number }
  /** Bytes of the whole model, or of its bytes now. */
  | { readonly kind: 'bytes'; readonly most: number }
  | { readonly kind: 'size-ratio'; readonly most: number }
  /** Multiplications times bits of the weight, as a share of those with 16-bit weights. */
  | { readonly kind: 'operations'; readonly most: number }
  /** Predicted divergence in nats an item; the smallest model within it. */
  | { readonly kind: 'divergence'; readonly most: number };

/** Sites that are given the same format: those that read one value, those of one block, or those that patterns match. */
export type Tie = 'inputs' | 'block' | 'residual' | readonly string[];

export interface VerifyOptions {
  /** Sites that are measured, evenly spread. */
  readonly sites: number | 'all';
  /** Samples that the divergence is measured on. */
  readonly samples: number;
  /** The width that every site is measured at; default the middle one of `bits`. */
  readonly bits: Width | undefined;
}

export interface SensitivityOptions {
  /** Widths to choose among, rising. */
  readonly bits: readonly Width[];
  /** Columns that share a scale, to choose among. */
  readonly groupSizes: readonly (number | 'row')[];
  readonly grid: WeightScheme['grid'];
  /** How weights are rounded to learn what a width loses. */
  readonly rounding: 'rtn' | 'gptq';
  readonly targets: readonly string[];
  readonly ignore: readonly string[];
  readonly ties: readonly Tie[];
  /** What orders sites in the report. */
  readonly predictors: readonly PredictorName[];
  /** Samples that Hessian predictors look at. */
  readonly hessianSamples: number;
  readonly verify: VerifyOptions | undefined;
  /** Losses that the allocation goes by. */
  readonly by: 'curvature' | 'measured';
  readonly budget: Budget | undefined;
  /** Exchanges tried on the measured divergence after the allocation, and the samples it is measured on. */
  readonly search: { readonly tries: number; readonly samples: number } | undefined;
}

const predictorNames = Object.keys(predictors) as [PredictorName, ...PredictorName[]];
const pattern = z.string().min(1).describe('Site or weight name, glob (*), re:expression, op:Conv or role:down.');
const share = z.number().positive().max(1);

const budgetInput = z
  .strictObject({
    average_bits: z.number().min(1).max(8).optional().describe('Mean bits of a weight, like 3.5.'),
    size: z
      .union([share.describe('Share of the bytes now.'), z.strictObject({ bytes: z.int().positive() })])
      .optional()
      .describe('Bytes of the whole model: a share of those now, or { bytes: n }.'),
    operations: share
      .optional()
      .describe('Multiplications times bits of their weight, as a share of those with 16-bit weights.'),
    max_kl: z.number().positive().optional().describe('Predicted divergence in nats; the smallest model within it.'),
  })
  .refine((budget) => Object.keys(budget).length === 1, {
    message: 'name exactly one of average_bits, size, operations, max_kl',
  })
  .describe('What the chosen widths must keep within.');

const verifyInput = z
  .union([
    z.boolean(),
    z.literal('measured'),
    z.strictObject({
      sites: z
        .union([z.literal('all'), z.int().positive()])
        .optional()
        .describe('Sites to measure (default all).'),
      samples: z.int().positive().optional().describe('Samples to measure on (default 16).'),
      bits: z.literal(codeWidths).optional().describe('Width to measure at (default: the middle one).'),
    }),
  ])
  .describe('Measure what rounding each site alone does, and how well every predictor orders the sites.');

const searchInput = z
  .union([
    z.boolean(),
    z.strictObject({
      tries: z.int().positive().optional().describe('Exchanges to try (default 24).'),
      samples: z.int().positive().optional().describe('Samples to judge by (default 8).'),
    }),
  ])
  .describe('Exchange widths between sites while the measured divergence falls (default true with a budget).');

const sensitivityInput = z
  .strictObject({
    bits: z
      .array(z.literal([...codeWidths, 'none']))
      .min(1)
      .optional()
      .describe('Widths to choose among (default 2, 3, 4, 8); none: a weight may stay as it is.'),
    group_size: z
      .union([z.int().min(16), z.literal('row'), z.array(z.union([z.int().min(16), z.literal('row')])).min(1)])
      .optional()
      .describe('Inputs that share a scale, or several sizes to choose among (default 32).'),
    sym: z
      .union([z.boolean(), z.literal('narrow')])
      .optional()
      .describe('Grids as in quantize: false (default), true or "narrow".'),
    rounding: z
      .enum(['rtn', 'gptq'])
      .optional()
      .describe(
        'How weights are rounded to learn what a width loses: gptq (default; near what the better methods reach) or rtn.',
      ),
    targets: z.array(pattern).optional().describe('Sites to look at (default all).'),
    ignore: z.array(pattern).optional().describe('Sites to leave as they are.'),
    ties: z
      .array(z.union([z.enum(['inputs', 'block', 'residual']), z.array(pattern).min(1)]))
      .optional()
      .describe(
        'Sites that get the same format: inputs (q, k and v; gate and up), block, residual (all that write to one residual stream), or lists of patterns. Sites that share a constant always do.',
      ),
    predictors: z
      .array(z.enum(predictorNames))
      .min(1)
      .optional()
      .describe('Sensitivities to report beside the curvature (default: those that cost nothing).'),
    hessian_samples: z
      .int()
      .positive()
      .optional()
      .describe('Samples for hessian-trace and top-eigenvalue (default 8).'),
    verify: verifyInput.optional(),
    by: z
      .enum(['curvature', 'measured'])
      .optional()
      .describe('Losses to allocate by: curvature (default), or the measured divergence of every option.'),
    budget: budgetInput.optional(),
    search: searchInput.optional(),
  })
  .describe('Find out how much each weight matters, and choose the bits of each.');

type SensitivityInput = z.infer<typeof sensitivityInput>;

const budgetOf = (budget: SensitivityInput['budget']): Budget | undefined => {
  if (!budget) return undefined;
  const { average_bits, size, operations, max_kl } = budget;
  if (average_bits !== undefined) return { kind: 'average-bits', most: average_bits };
  if (typeof size === 'number') return { kind: 'size-ratio', most: size };
  if (size !== undefined) return { kind: 'bytes', most: size.bytes };
  if (operations !== undefined) return { kind: 'operations', most: operations };
  return max_kl === undefined ? undefined : { kind: 'divergence', most: max_kl };
};

const verifyOf = (verify: SensitivityInput['verify']): VerifyOptions | undefined => {
  if (verify === undefined || verify === false) return undefined;
  const given = typeof verify === 'object' ? verify : {};
  return { sites: given.sites ?? 'all', samples: given.samples ?? 16, bits: given.bits };
};

const searchOf = (search: SensitivityInput['search'], budget: Budget | undefined): SensitivityOptions['search'] => {
  if (search === false || !budget) return undefined;
  const given = typeof search === 'object' ? search : {};
  return { tries: given.tries ?? 24, samples: given.samples ?? 8 };
};

const gridOf = (sym: SensitivityInput['sym']): SensitivityOptions['grid'] => {
  if (sym === 'narrow') return 'symmetric-narrow';
  return sym ? 'symmetric' : 'asymmetric';
};

const freePredictors = (Object.entries(predictors) as [PredictorName, { readonly needs: string }][])
  .filter(([, { needs }]) => needs === 'moments')
  .map(([name]) => name);

/** Strict options of the stage: every default filled in. */
export const sensitivityOptions = sensitivityInput.transform((input, issues): SensitivityOptions => {
  const wanted = new Set<Width>(input.bits ?? codeWidths);
  const bits = ([...codeWidths, 'none'] as const).filter((width) => wanted.has(width));
  const sizes = input.group_size ?? 32;
  const budget = budgetOf(input.budget);
  const verify = verifyOf(input.verify);
  if (verify?.bits !== undefined && !bits.includes(verify.bits))
    issues.addIssue({ code: 'custom', message: `${verify.bits} is none of the bits`, path: ['verify', 'bits'] });
  if (!budget && typeof input.search === 'object')
    issues.addIssue({
      code: 'custom',
      message: '"search" has a meaning only together with "budget"',
      path: ['search'],
    });
  return {
    bits,
    groupSizes: Array.isArray(sizes) ? sizes : [sizes],
    grid: gridOf(input.sym),
    rounding: input.rounding ?? 'gptq',
    targets: input.targets ?? ['*'],
    ignore: input.ignore ?? [],
    ties: input.ties ?? [],
    predictors: input.predictors ?? freePredictors,
    hessianSamples: input.hessian_samples ?? 8,
    verify,
    by: input.by ?? 'curvature',
    budget,
    search: searchOf(input.search, budget),
  };
});
