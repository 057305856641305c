import { z } from 'zod';

/** What thresholds are calibrated to. */
export type ExitBudget =
  | { readonly kind: 'operations'; readonly share: number }
  | { readonly kind: 'loss'; readonly nats: number };

export interface ExitsOptions {
  /** Blocks behind which there is an exit, by their place; or how many exits there are, spread evenly. */
  readonly after: readonly number[] | number;
  readonly budget: ExitBudget;
  /** λ of the heads as a share of the mean diagonal. */
  readonly ridge: number | 'auto';
}

const exitsInput = z
  .strictObject({
    after: z
      .union([z.int().min(1).max(16), z.array(z.int().min(0)).min(1)])
      .default(2)
      .describe(
        'Exits: how many, spread evenly by operations, or the places of the blocks that they stand behind, such as [1, 3].',
      ),
    operations: z
      .number()
      .gt(0)
      .lt(1)
      .optional()
      .describe('Expected share of the operations that a sample takes (default 0.7).'),
    kl: z
      .number()
      .positive()
      .optional()
      .describe('Instead: expected divergence from the whole model, in nats a sample, that is accepted.'),
    ridge: z
      .union([z.number().positive(), z.literal('auto')])
      .default('auto')
      .describe(
        'Ridge of the heads as a share of the mean square of their inputs, or auto: what serves samples best that they are not fitted to.',
      ),
  })
  .refine(({ operations, kl }) => operations === undefined || kl === undefined, {
    message: 'give one budget: operations or kl',
  })
  .describe('Heads between the blocks: samples whose answer is sure leave the model there.');

/** Strict options of the stage with every default filled in. */
export const exitsOptions = exitsInput.transform(
  ({ after, operations, kl, ridge }): ExitsOptions => ({
    after: typeof after === 'number' ? after : [...new Set(after)].sort((a, b) => a - b),
    budget: kl === undefined ? { kind: 'operations', share: operations ?? 0.7 } : { kind: 'loss', nats: kl },
    ridge,
  }),
);
