import { z } from 'zod';
import { type SharingMethodName, sharingMethods } from './methods/index.ts';

export interface ShareOptions {
  readonly method: SharingMethodName;
  /** Share of the stored parameters of the chosen weights that stays. */
  readonly share: number;
  /** Layers that share. */
  readonly group: number | 'all';
  readonly pattern: 'adjacent' | 'cycle';
  readonly atoms: number | undefined;
  readonly residual: boolean;
  readonly refit: { readonly ridge: number | 'auto' } | undefined;
  readonly targets: readonly string[];
  readonly ignore: readonly string[];
}

const names = Object.keys(sharingMethods) as [SharingMethodName, ...SharingMethodName[]];
const pattern = z.string().min(1);

const shareInput = z.strictObject({
  ratio: z
    .number()
    .gt(0)
    .lt(1)
    .default(0.2)
    .describe('Share of the stored parameters of the chosen weights that goes.'),
  method: z
    .enum(names)
    .default('basis')
    .describe(names.map((name) => `${name}: ${sharingMethods[name].summary}`).join('; ')),
  group: z
    .union([z.int().min(2), z.literal('all')])
    .optional()
    .describe('Layers that share (default 2; all for atoms and linear).'),
  pattern: z
    .enum(['adjacent', 'cycle'])
    .default('adjacent')
    .describe('Which layers share: neighbours, or every n-th as when a stack of layers is run several times.'),
  atoms: z.int().min(1).optional().describe('Matrices that atoms mixes (default: what the budget suggests).'),
  residual: z.boolean().default(true).describe('Layers may keep private low-rank products beside what they share.'),
  refit: z
    .union([
      z.boolean(),
      z.strictObject({ ridge: z.union([z.number().positive(), z.literal('auto')]).default('auto') }),
    ])
    .default(true)
    .describe('Correct what writes to the residual stream against the original, but never a weight that is shared.'),
  targets: z.array(pattern).min(1).optional().describe('Weights that may be shared (default all in blocks).'),
  ignore: z.array(pattern).optional().describe('Weights to leave as they are.'),
});

/** Strict options of the stage: every default filled in. */
export const shareOptions = shareInput.transform(
  (input): ShareOptions => ({
    method: input.method,
    share: 1 - input.ratio,
    group: input.group ?? (input.method === 'atoms' || input.method === 'linear' ? 'all' : 2),
    pattern: input.pattern,
    atoms: input.atoms,
    residual: input.residual,
    refit: input.refit === false ? undefined : { ridge: input.refit === true ? 'auto' : input.refit.ridge },
    targets: input.targets ?? ['*'],
    ignore: input.ignore ?? [],
  }),
);
