import { z } from 'zod';
import { CompressError } from '../../../errors.ts';
import { modulePattern, parseConfig, type QuantizationConfig } from '../quantized/config.ts';

const weightsSchema = z.looseObject({
  num_bits: z.int().min(1).max(8),
  type: z.enum(['int', 'float']).default('int'),
  symmetric: z.boolean().default(true),
  strategy: z.enum(['tensor', 'channel', 'group', 'block']).nullish(),
  group_size: z.union([z.literal(-1), z.int().min(1)]).nullish(),
});

const groupSchema = z.looseObject({
  targets: z.array(z.string()),
  weights: weightsSchema.nullish(),
});

/** Ways of storing that can be read; the format of a group may differ from the one of the whole. */
const formats = [
  'pack-quantized',
  'int-quantized',
  'naive-quantized',
  'float-quantized',
  'mixed-precision',
  'dense',
] as const;

const schema = z.looseObject({
  format: z.enum(formats).default('pack-quantized'),
  config_groups: z.record(z.string(), groupSchema),
});

/** How the weight of one module is stored. */
export interface CompressedScheme {
  readonly bits: number;
  readonly type: 'int' | 'float';
  readonly symmetric: boolean;
  /** Undefined: one scale for each row or for all. */
  readonly groupSize: number | undefined;
}

/** The scheme of a module, by its path: groups that name it go before those that name its class. */
export type SchemeOf = (path: string) => CompressedScheme | undefined;

/** Reads the description of a compressed-tensors checkpoint. @throws what cannot be used, with its place. */
export const readCompressedConfig = (config: QuantizationConfig): SchemeOf => {
  const parsed = parseConfig(schema, config);
  const rules = Object.values(parsed.config_groups).flatMap(({ targets, weights }) => {
    if (!weights) return [];
    const scheme: CompressedScheme = {
      bits: weights.num_bits,
      type: weights.type,
      symmetric: weights.symmetric,
      groupSize: weights.group_size === -1 ? undefined : (weights.group_size ?? undefined),
    };
    return targets.map((target) => ({ ...ruleOf(target, config), scheme }));
  });
  if (rules.length === 0)
    throw new CompressError({
      code: 'malformed',
      message: 'the description names no quantized weights',
      where: { file: config.file, key: `${config.key}.config_groups` },
    });
  const byName = rules.filter(({ kind }) => kind === 'name');
  const byClass = rules.find(({ kind }) => kind === 'class');
  return (path) => (byName.find(({ matches }) => matches(path)) ?? byClass)?.scheme;
};

/** Targets are class names (Linear), module paths, or `re:` and an expression. */
const ruleOf = (
  target: string,
  config: QuantizationConfig,
): { readonly kind: 'name' | 'class'; matches(path: string): boolean } => {
  if (target.startsWith('re:')) {
    const test = modulePattern(target.slice('re:'.length), config);
    return { kind: 'name', matches: (path) => test.test(path) };
  }
  return /^[A-Z]\w*$/.test(target)
    ? { kind: 'class', matches: () => true }
    : { kind: 'name', matches: (path) => path === target };
};
