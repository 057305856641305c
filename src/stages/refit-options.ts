import { z } from 'zod';
import type { RefitScope } from '../curvature/refit-targets.ts';

/** How a compressed program is corrected against the original. */
export interface RefitSettings {
  /** λ as a share of the mean diagonal of the inputs' second moments; 'auto': chosen on samples that it is not fitted to. */
  readonly ridge: number | 'auto';
  readonly scope: RefitScope;
}

/** The option `refit`; `refitSettings` normalises it. */
export const refitInput = z
  .union([
    z.boolean(),
    z.strictObject({
      ridge: z
        .union([z.number().positive(), z.literal('auto')])
        .default('auto')
        .describe('Ridge as a share of the mean diagonal, or auto: what serves samples best that it is not fitted to.'),
      scope: z
        .enum(['all', 'stream'])
        .default('all')
        .describe('Every product against its own output in the original, or only what writes to residual streams.'),
    }),
  ])
  .default(true)
  .describe('Correct products against the original model, block by block; weights in factors are decomposed anew.');

/** @returns undefined where no refit is wanted */
export const refitSettings = (input: z.output<typeof refitInput>): RefitSettings | undefined => {
  if (input === false) return undefined;
  return input === true ? { ridge: 'auto', scope: 'all' } : input;
};
