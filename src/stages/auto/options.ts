import { z } from 'zod';
import type { ChannelKind } from '../../analysis/channel-groups/groups.ts';
import { type RefitSettings, refitInput, refitSettings } from '../refit-options.ts';

/** Ways to make a model smaller that may be used. */
export const compressionKinds = ['low-rank', 'removal', 'bits', 'sharing'] as const;
export type CompressionKind = (typeof compressionKinds)[number];

/** What the model must come down to: what may be left of a cost, as a share of the present one. */
export type AutoBudget =
  | {
      readonly kind: 'share';
      readonly of: 'size' | 'parameters' | 'block_parameters' | 'operations';
      readonly share: number;
    }
  /** Median milliseconds of a run on this machine, as a share of the present ones. */
  | { readonly kind: 'latency'; readonly share: number }
  /** KL to the model before, measured on samples kept from the calibration data, in nats an item. */
  | { readonly kind: 'kl'; readonly nats: number };

export interface AutoOptions {
  readonly budget: AutoBudget;
  readonly kinds: readonly CompressionKind[];
  readonly channels: readonly ChannelKind[];
  readonly bits: readonly number[];
  readonly groupSizes: readonly number[];
  readonly multiple: number;
  readonly steps: number | 'auto';
  readonly refit: RefitSettings | undefined;
  /** Whether the files are written without names that running does not need, which a budget of bytes counts. */
  readonly compact: boolean;
  /** Steps of distillation afterwards; 0: none. */
  readonly healSteps: number;
  readonly targets: readonly string[];
  readonly ignore: readonly string[];
}

const share = z.number().gt(0).lt(1);
const budgetKeys = ['size', 'parameters', 'block_parameters', 'operations', 'latency', 'max_kl'] as const;

const autoInput = z.strictObject({
  size: share.optional().describe('Bytes of the written weights that may be left, as a share of the present ones.'),
  parameters: share.optional().describe('Share of all parameters that may be left.'),
  block_parameters: share
    .optional()
    .describe('Share of the weights of repeated blocks (without embedding and head) that may be left.'),
  operations: share.optional().describe('Share of the multiplications of weights that may be left.'),
  latency: share.optional().describe('Share of the time of a run that may be left, measured on this machine.'),
  max_kl: z
    .number()
    .positive()
    .optional()
    .describe('KL to the model before that is allowed, in nats an item: as small as it buys.'),
  kinds: z
    .array(z.enum(compressionKinds))
    .min(1)
    .optional()
    .describe(
      'What may be used: low-rank (weights as two or three factors), removal (heads, neurons, channels, whole branches), bits (integers), sharing (layers that read the same weights). By default all that save what the budget counts.',
    ),
  channels: z
    .array(z.enum(['heads', 'neurons', 'channels']))
    .min(1)
    .optional()
    .describe('Channels that may be removed (default all).'),
  bits: z
    .array(z.union([z.literal(8), z.literal(4), z.literal(2)]))
    .min(1)
    .optional()
    .describe('Widths of integers that may be used (default 8, 4 and 2).'),
  group_sizes: z
    .array(z.int().min(16))
    .min(1)
    .optional()
    .describe('Inputs that share a scale that may be used (default 32 and 128).'),
  multiple: z
    .int()
    .min(1)
    .default(1)
    .describe('Ranks and numbers of channels that stay are multiples of this; 8 or 16 suits most kernels.'),
  steps: z
    .union([z.int().min(1).max(32), z.literal('auto')])
    .default('auto')
    .describe(
      'Deep budgets go in steps, with the curvature collected again (default auto: one, and one more for each fifth beyond two).',
    ),
  refit: refitInput,
  compact: z
    .boolean()
    .default(false)
    .describe('The files are written with `compact: true`: with `size` what names would take is left to the weights.'),
  heal: z
    .union([z.boolean(), z.strictObject({ steps: z.int().min(1).default(300) })])
    .default(false)
    .describe('Train the result to behave like the original afterwards (the distill stage on the calibration data).'),
  targets: z.array(z.string().min(1)).min(1).optional().describe('Weights that may change (default all).'),
  ignore: z.array(z.string().min(1)).optional().describe('Weights to leave as they are.'),
});

type AutoInput = z.output<typeof autoInput>;

const budgetOf = (input: AutoInput): AutoBudget | undefined => {
  if (input.max_kl !== undefined) return { kind: 'kl', nats: input.max_kl };
  if (input.latency !== undefined) return { kind: 'latency', share: input.latency };
  const of = (['size', 'parameters', 'block_parameters', 'operations'] as const).find(
    (key) => input[key] !== undefined,
  );
  return of && { kind: 'share', of, share: input[of]! };
};

/** Whether fewer bits make the model smaller in what the budget counts. */
const countsBytes = (budget: AutoBudget): boolean =>
  budget.kind === 'kl' || (budget.kind === 'share' && budget.of === 'size');

/** Whether weights that are stored once for several layers count once. */
const countsStorage = (budget: AutoBudget): boolean =>
  budget.kind === 'kl' || (budget.kind === 'share' && budget.of !== 'operations');

const usualKinds = (budget: AutoBudget): readonly CompressionKind[] => [
  'low-rank',
  'removal',
  ...(countsBytes(budget) ? (['bits'] as const) : []),
  ...(countsStorage(budget) ? (['sharing'] as const) : []),
];

/** Strict options of the stage: every default filled in. */
export const autoOptions = autoInput.transform((input, issues): AutoOptions => {
  const given = budgetKeys.filter((key) => input[key] !== undefined);
  if (given.length !== 1)
    issues.addIssue({
      code: 'custom',
      message:
        given.length === 0
          ? `say how small to become: one of ${budgetKeys.join(', ')}`
          : `"${given.join('" and "')}" all say how small to become: keep one`,
      path: given.length === 0 ? [] : [given[1]!],
    });
  const budget = budgetOf(input) ?? { kind: 'share', of: 'size', share: 0.5 };
  const kinds = input.kinds ?? usualKinds(budget);
  if (kinds.includes('bits') && !countsBytes(budget))
    issues.addIssue({
      code: 'custom',
      message: 'fewer bits save bytes alone: use them with "size" or "max_kl"',
      path: ['kinds'],
    });
  if (kinds.includes('sharing') && !countsStorage(budget))
    issues.addIssue({
      code: 'custom',
      message: 'layers that share weights are stored once and computed as often: use sharing with what is stored',
      path: ['kinds'],
    });
  const { refit, heal } = input;
  return {
    budget,
    kinds,
    channels: input.channels ?? ['heads', 'neurons', 'channels'],
    bits: input.bits ?? [8, 4, 2],
    groupSizes: input.group_sizes ?? [32, 128],
    multiple: input.multiple,
    steps: input.steps,
    refit: refitSettings(refit),
    compact: input.compact,
    healSteps: heal === false ? 0 : heal === true ? 300 : heal.steps,
    targets: input.targets ?? ['*'],
    ignore: input.ignore ?? [],
  };
});
