import { z } from 'zod';

/** What config.json says about rotary position embeddings, in either of its two forms, in one. */
export interface RopeParameters {
  readonly type: 'default' | 'linear' | 'dynamic' | 'llama3' | 'yarn' | 'longrope';
  readonly theta: number;
  /** Share of each head's channels that is rotated. */
  readonly partial: number;
  readonly factor: number | undefined;
  /** Context length before scaling. */
  readonly originalLength: number;
  readonly attentionFactor: number | undefined;
  readonly lowFrequencyFactor: number;
  readonly highFrequencyFactor: number;
  readonly betaFast: number;
  readonly betaSlow: number;
  readonly mscale: number | undefined;
  readonly mscaleAllDim: number | undefined;
  readonly truncate: boolean;
  readonly shortFactor: readonly number[];
  readonly longFactor: readonly number[];
}

const number = z.number().nullish();
const positive = z.number().positive().nullish();

const fields = z.object({
  rope_type: z.string().nullish(),
  /** Older name of rope_type. */
  type: z.string().nullish(),
  rope_theta: positive,
  partial_rotary_factor: positive,
  factor: positive,
  original_max_position_embeddings: positive,
  attention_factor: positive,
  low_freq_factor: positive,
  high_freq_factor: positive,
  beta_fast: positive,
  beta_slow: positive,
  mscale: number,
  mscale_all_dim: number,
  truncate: z.boolean().nullish(),
  short_factor: z.array(z.number().positive()).nullish(),
  long_factor: z.array(z.number().positive()).nullish(),
});

export type RopeInput = z.infer<typeof fields>;

const neededKeys: Readonly<Record<string, readonly (keyof RopeInput)[]>> = {
  default: [],
  linear: ['factor'],
  dynamic: ['factor'],
  llama3: ['factor', 'low_freq_factor', 'high_freq_factor'],
  yarn: [],
  longrope: ['short_factor', 'long_factor'],
};

const typeOf = (rope: RopeInput): string => {
  const type = rope.rope_type ?? rope.type ?? 'default';
  return type === 'su' ? 'longrope' : type;
};

const complete = (rope: RopeInput, context: z.RefinementCtx): void => {
  const needed = neededKeys[typeOf(rope)];
  if (!needed)
    context.addIssue({
      code: 'custom',
      path: [rope.rope_type ? 'rope_type' : 'type'],
      message: `this kind of rotation is not known; known are ${Object.keys(neededKeys).join(', ')}`,
    });
  for (const key of needed ?? [])
    if (rope[key] === undefined || rope[key] === null)
      context.addIssue({ code: 'custom', path: [key], message: `rotations of type ${typeOf(rope)} need this key` });
};

const entry = fields.superRefine(complete);

/** `rope_scaling` (transformers 4) or `rope_parameters` (transformers 5), which may have an entry per kind of layer. */
export const ropeSchema = fields
  .extend({ full_attention: entry.nullish(), sliding_attention: entry.nullish() })
  .superRefine(complete);

/** Keys beside the rope object that take part in it. */
export interface RopeContext {
  /** Used where the rope object names none. */
  readonly theta: number;
  readonly partial: number;
  readonly maxPositions: number;
  /** The configuration's own `original_max_position_embeddings`, which goes before the rope object's. */
  readonly originalLength: number | undefined;
}

/** Merges the rope object with the keys beside it. */
export const normaliseRope = (rope: RopeInput, context: RopeContext): RopeParameters => ({
  type: typeOf(rope) as RopeParameters['type'],
  theta: rope.rope_theta ?? context.theta,
  partial: rope.partial_rotary_factor ?? context.partial,
  factor: rope.factor ?? undefined,
  originalLength: context.originalLength ?? rope.original_max_position_embeddings ?? context.maxPositions,
  attentionFactor: rope.attention_factor ?? undefined,
  lowFrequencyFactor: rope.low_freq_factor ?? 1,
  highFrequencyFactor: rope.high_freq_factor ?? 1,
  betaFast: rope.beta_fast ?? 32,
  betaSlow: rope.beta_slow ?? 1,
  mscale: rope.mscale ?? undefined,
  mscaleAllDim: rope.mscale_all_dim ?? undefined,
  truncate: rope.truncate ?? true,
  shortFactor: rope.short_factor ?? [],
  longFactor: rope.long_factor ?? [],
});
