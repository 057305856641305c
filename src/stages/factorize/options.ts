import { z } from 'zod';
import { type RefitSettings, refitInput, refitSettings } from '../refit-options.ts';
import { type FactorFormName, factorForms } from './forms/index.ts';
import { type FactorMethodName, factorMethods } from './methods/index.ts';

/** What the factorised weights must come down to. */
export type FactorBudget =
  /** So much of a cost at most: a share of what the chosen weights cost now. */
  | { readonly kind: 'share'; readonly measure: 'parameters' | 'operations'; readonly share: number }
  /** At most this predicted loss, in nats an item. */
  | { readonly kind: 'loss'; readonly nats: number };

export interface FactorizeOptions {
  readonly method: FactorMethodName;
  readonly budget: FactorBudget;
  /** Ranks by predicted loss, by what weights alone suggest, or the same share of every weight. */
  readonly allocation: 'curvature' | 'learned' | 'uniform';
  /** Forms that are offered beside two factors. */
  readonly forms: readonly FactorFormName[];
  /** Ranks are multiples of this. */
  readonly multiple: number;
  readonly refit: RefitSettings | undefined;
  readonly targets: readonly string[];
  readonly ignore: readonly string[];
}

const names = Object.keys(factorMethods) as [FactorMethodName, ...FactorMethodName[]];
const formNames = Object.keys(factorForms) as [FactorFormName, ...FactorFormName[]];
const share = z.number().gt(0).lt(1);

const factorizeInput = z.strictObject({
  ratio: share.optional().describe('Share of the parameters of the chosen weights that goes (default 0.2).'),
  operations: share.optional().describe('Share of the operations of the chosen weights that goes, instead of ratio.'),
  max_kl: z
    .number()
    .positive()
    .optional()
    .describe('Predicted loss in nats an item that is allowed, instead of ratio: as few parameters as it buys.'),
  method: z
    .enum(names)
    .default('two-sided')
    .describe(names.map((name) => `${name}: ${factorMethods[name].summary}`).join('; ')),
  allocation: z
    .enum(['curvature', 'learned', 'uniform'])
    .default('curvature')
    .describe(
      'Ranks (and which weights stay whole) by predicted loss (curvature), by errors of outputs times a sensitivity that a small trained model reads off the weights (learned: no gradients), or the same share of every weight (uniform).',
    ),
  forms: z
    .array(z.enum(formNames))
    .default(['tucker', 'canonical'])
    .describe(
      `Forms that weights may also have beside two factors: ${formNames.map((name) => `${name}: ${factorForms[name].summary}`).join('; ')}.`,
    ),
  rank_multiple: z.int().min(1).default(1).describe('Ranks are multiples of this; 8 or 16 suits most kernels.'),
  refit: refitInput,
  targets: z.array(z.string().min(1)).min(1).optional().describe('Weights to factorise (default all), as in quantize.'),
  ignore: z
    .array(z.string().min(1))
    .optional()
    .describe('Weights to leave as they are (default the embedding and the head).'),
});

/** Weights that are left alone unless `ignore` says otherwise. */
const usuallyIgnored = ['role:embedding', 'role:position-embedding', 'role:type-embedding', 'role:head'];

/** Strict options of the stage: every default filled in. */
export const factorizeOptions = factorizeInput.transform((input, issues): FactorizeOptions => {
  const given = (['ratio', 'operations', 'max_kl'] as const).filter((key) => input[key] !== undefined);
  if (given.length > 1)
    issues.addIssue({
      code: 'custom',
      message: `"${given.join('" and "')}" all say how small to become: keep one`,
      path: [given[1]!],
    });
  const budget: FactorBudget =
    input.max_kl !== undefined
      ? { kind: 'loss', nats: input.max_kl }
      : input.operations !== undefined
        ? { kind: 'share', measure: 'operations', share: 1 - input.operations }
        : { kind: 'share', measure: 'parameters', share: 1 - (input.ratio ?? 0.2) };
  if (input.allocation !== 'curvature' && budget.kind === 'loss')
    issues.addIssue({
      code: 'custom',
      message: `"max_kl" needs predicted losses, which "allocation: ${input.allocation}" does without`,
      path: ['allocation'],
    });
  return {
    method: input.method,
    budget,
    allocation: input.allocation,
    forms: input.forms,
    multiple: input.rank_multiple,
    refit: refitSettings(input.refit),
    targets: input.targets ?? ['*'],
    ignore: input.ignore ?? usuallyIgnored,
  };
});
