import { z } from 'zod';
import { type RefitSettings, refitInput, refitSettings } from '../refit-options.ts';
import type { CacheOptions } from './cache/run.ts';
import { type SharingMethodName, sharingMethods } from './methods/index.ts';
import type { Stitch } from './stitch.ts';

export interface ShareOptions {
  readonly method: SharingMethodName;
  /** Share of the stored parameters of the chosen weights that stays. */
  readonly share: number;
  /** Layers that share; 'auto': runs of neighbours that lose least are searched. */
  readonly group: number | 'all' | 'auto';
  /** What shares by itself: each weight of the blocks, or whole blocks. */
  readonly unit: 'weight' | 'block';
  readonly pattern: 'adjacent' | 'cycle';
  readonly atoms: number | undefined;
  /** Layers of the result, made of what is shared alone; undefined: as many as there are. */
  readonly depth: number | undefined;
  /** Instead of all else: after some layers the model goes on in another one. */
  readonly stitch: Stitch | undefined;
  /** Instead of all else: keys and values are kept in fewer numbers. */
  readonly cache: CacheOptions | undefined;
  /** Private low-rank products beside what is shared. */
  readonly residual: boolean;
  /** Two factors of its own for a layer that shares with no other. */
  readonly ownFactors: boolean;
  readonly refit: RefitSettings | undefined;
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
    .union([z.int().min(2), z.enum(['all', 'auto'])])
    .default('auto')
    .describe(
      'Layers that share: a number, all, or auto (default): neighbours, cut into runs of up to four where that loses least.',
    ),
  unit: z
    .enum(['weight', 'block'])
    .default('weight')
    .describe('What shares: each weight of the blocks by itself, or whole blocks but for their norms (FoldGPT).'),
  pattern: z
    .enum(['adjacent', 'cycle'])
    .default('adjacent')
    .describe('Which layers share: neighbours, or every n-th as when a stack of layers is run several times.'),
  atoms: z.int().min(1).optional().describe('Matrices that atoms mixes (default: what the budget suggests).'),
  depth: z
    .int()
    .min(1)
    .max(1024)
    .optional()
    .describe(
      'Layers of the result, for methods linear and tied: all of them made of what is shared, whatever the ratio (default: as many as there are, within the ratio).',
    ),
  cache: z
    .strictObject({
      group: z
        .int()
        .min(1)
        .max(64)
        .default(4)
        .describe('Neighbouring layers that keep one list of numbers between them.'),
      ratio: z.number().gt(0).lt(1).default(0.5).describe('Share of the bytes of keys and values that goes.'),
    })
    .optional()
    .describe(
      'Instead of all else: keys and values of neighbouring layers in one subspace (xKV), for models that generate.',
    ),
  stitch: z
    .strictObject({
      with: z.string().min(1).describe('Path of another model of the family.'),
      after: z.int().min(0).describe('Last layer of the present model that stays.'),
      from: z.int().min(0).describe('First layer of the other model that follows.'),
    })
    .optional()
    .describe(
      'Instead of all else: the front of this model and the back of another, with a map between their streams.',
    ),
  residual: z
    .boolean()
    .default(true)
    .describe('Layers may have low-rank products of their own beside what they share.'),
  own_factors: z
    .boolean()
    .default(true)
    .describe('A layer that shares with no other may become two factors; otherwise it stays as it is.'),
  refit: refitInput,
  targets: z.array(pattern).min(1).optional().describe('Weights that may be shared (default all in blocks).'),
  ignore: z.array(pattern).optional().describe('Weights to leave as they are.'),
});

/** Strict options of the stage: every default filled in. */
export const shareOptions = shareInput.transform(
  (input): ShareOptions => ({
    method: input.method,
    share: 1 - input.ratio,
    group: input.group,
    unit: input.unit,
    pattern: input.pattern,
    atoms: input.atoms,
    depth: input.depth,
    stitch: input.stitch,
    cache: input.cache,
    residual: input.residual,
    ownFactors: input.own_factors,
    refit: refitSettings(input.refit),
    targets: input.targets ?? ['*'],
    ignore: input.ignore ?? [],
  }),
);
