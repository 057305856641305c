import { z } from 'zod';
import { modulePattern, parseConfig, type QuantizationConfig } from '../quantized/config.ts';

/** Bits that GPTQ checkpoints are read and written with: layouts without gaps that every loader shares. */
export const gptqBits = [2, 3, 4, 8] as const;
export type GptqBits = (typeof gptqBits)[number];

/** 'gptq': zero points are stored less one. 'gptq_v2': as they are. */
export const gptqFormats = ['gptq', 'gptq_v2'] as const;
export type GptqFormat = (typeof gptqFormats)[number];

const bits = z.literal(gptqBits);
const groupSize = z.union([z.literal(-1), z.int().min(1)]);

const schema = z.looseObject({
  bits,
  group_size: groupSize.default(128),
  checkpoint_format: z.enum(gptqFormats).optional(),
  format: z.enum(gptqFormats).optional(),
  is_marlin_format: z.literal(false).optional(),
  pack_dtype: z.literal('int32').optional(),
  dynamic: z.record(z.string(), z.looseObject({ bits: bits.optional(), group_size: groupSize.optional() })).nullish(),
});

/** How one module is stored. */
export interface GptqScheme {
  readonly bits: GptqBits;
  /** -1: one group a row. */
  readonly groupSize: number;
}

export interface GptqConfig {
  readonly format: GptqFormat;
  /** The scheme of a module by its path, as `dynamic` changes it; the first pattern that matches wins. */
  schemeOf(path: string): GptqScheme;
}

/** Reads the description of a GPTQ checkpoint. @throws what cannot be used, with its place. */
export const readGptqConfig = (config: QuantizationConfig): GptqConfig => {
  const parsed = parseConfig(schema, config);
  const rules = Object.entries(parsed.dynamic ?? {}).flatMap(([pattern, changes]) =>
    pattern.startsWith('-:') ? [] : [{ test: modulePattern(pattern.replace(/^\+:/, ''), config), changes }],
  );
  return {
    format: parsed.checkpoint_format ?? parsed.format ?? 'gptq',
    schemeOf: (path) => {
      const changes = rules.find(({ test }) => test.test(path))?.changes;
      return { bits: changes?.bits ?? parsed.bits, groupSize: changes?.group_size ?? parsed.group_size };
    },
  };
};
