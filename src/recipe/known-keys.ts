import { distance } from 'fastest-levenshtein';
import type { z } from 'zod';
import type { KeyPath } from './source.ts';

/** The parts of a zod definition that hold other schemas, as far as schemas of recipes use them. */
interface Definition {
  readonly type: string;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly element?: z.ZodType;
  readonly options?: readonly z.ZodType[];
  readonly innerType?: z.ZodType;
  readonly in?: z.ZodType;
  readonly out?: z.ZodType;
  readonly valueType?: z.ZodType;
  readonly getter?: () => z.ZodType;
}

const definitionOf = (schema: z.ZodType): Definition => schema.def as unknown as Definition;

/** The schemas that a schema stands for once defaults, transforms and alternatives are taken off. */
const alternatives = (schema: z.ZodType): Definition[] => {
  const definition = definitionOf(schema);
  if (definition.options) return definition.options.flatMap(alternatives);
  if (definition.innerType) return alternatives(definition.innerType);
  if (definition.getter) return alternatives(definition.getter());
  if (definition.type === 'pipe')
    return [definition.in, definition.out].flatMap((side) =>
      side && definitionOf(side).type !== 'transform' ? alternatives(side) : [],
    );
  return [definition];
};

/** Keys that a map at this path may have, in the schema's order. Empty where anything or no key is allowed. */
export const knownKeysAt = (schema: z.ZodType, path: KeyPath): string[] => {
  const [key, ...rest] = path;
  const found = alternatives(schema).flatMap((definition): string[] => {
    if (key === undefined) return Object.keys(definition.shape ?? {});
    const next = typeof key === 'number' ? definition.element : (definition.shape?.[key] ?? definition.valueType);
    return next ? knownKeysAt(next, rest) : [];
  });
  return [...new Set(found)];
};

/** The candidate nearest to what was written, when it is near enough to be what was meant. */
export const nearest = (written: string, candidates: readonly string[]): string | undefined => {
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[-_ ]/g, '');
  const ranked = candidates
    .map((candidate) => ({ candidate, edits: distance(plain(written), plain(candidate)) }))
    .sort((a, b) => a.edits - b.edits);
  const best = ranked[0];
  return best && best.edits <= (written.length < 4 ? 1 : Math.max(2, Math.floor(written.length / 3)))
    ? best.candidate
    : undefined;
};
