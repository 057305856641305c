import { z } from 'zod';

/** Conversion of a graph to another floating-point type, every field decided. */
export interface PrecisionOptions {
  readonly precision: 'float16' | 'bfloat16' | 'float32';
  /**
   * 'all': weights are stored and products computed in the type. 'weights': weights are stored in it and widened to
   * float32 where they are read, so that any runtime computes as before.
   */
  readonly scope: 'all' | 'weights';
  /** Types of the graph's inputs and outputs: left as they are, or converted too. */
  readonly io: 'keep' | 'convert';
  /** Patterns of nodes that stay in float32: `op:Softmax`, names, globs, `re:`. */
  readonly keep: readonly string[];
}

/** Keys of a recipe's `quantize: { precision: … }`, to be spread into the stage's strict object. */
export const precisionKeys = {
  precision: z
    .enum(['float16', 'bfloat16', 'float32'])
    .describe('Floating-point type to convert to; float32 widens a half-precision model.'),
  keep: z
    .array(z.string())
    .optional()
    .describe('Nodes that stay in float32: op:LayerNormalization, a name, a glob or re:expression.'),
  io: z
    .enum(['keep', 'convert'])
    .optional()
    .describe('Element types of the inputs and outputs: keep (default), or convert them too.'),
  scope: z
    .enum(['all', 'weights'])
    .optional()
    .describe('all: compute in the type (default for float16). weights: store weights only (default for bfloat16).'),
} as const;

const precisionInput = z.strictObject(precisionKeys);

export type PrecisionInput = z.infer<typeof precisionInput>;

/** The decided form. bfloat16 is a storage type by default: onnxruntime has hardly any bfloat16 kernels on CPUs. */
export const normalisePrecision = (input: PrecisionInput): PrecisionOptions => ({
  precision: input.precision,
  scope: input.scope ?? (input.precision === 'bfloat16' ? 'weights' : 'all'),
  io: input.io ?? 'keep',
  keep: input.keep ?? [],
});
