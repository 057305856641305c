import { CompressError } from '../errors.ts';
import type { OptionValues } from './option-values.ts';

/** The number given by --seed. @throws usage error. */
export const seedOf = (options: OptionValues): number => {
  const text = options.text('seed') ?? '0';
  const seed = Number(text);
  if (/^\d+$/.test(text) && seed <= 2 ** 32 - 1) return seed;
  throw new CompressError({
    code: 'usage',
    message: `expected a whole number from 0 to ${2 ** 32 - 1}, found ${JSON.stringify(text)}`,
    where: { flag: '--seed' },
  });
};
