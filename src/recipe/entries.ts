import type { z } from 'zod';
import { nearest } from './known-keys.ts';
import { isMap, type Problems } from './problems.ts';
import type { KeyPath } from './source.ts';
import { describeValue } from './words.ts';

/** A table from which recipes choose by name: stages, formats, gates. */
export interface EntryTable<Card> {
  /** What one entry is, for messages: 'stage', 'format'. */
  readonly what: string;
  readonly cards: ReadonlyMap<string, Card>;
  readonly schemaOf: (card: Card) => z.ZodType;
}

export interface Entry<Card> {
  readonly name: string;
  readonly card: Card;
  /** Output of the card's schema. */
  readonly options: unknown;
  readonly path: KeyPath;
}

/** A map with exactly one key, which names the entry; or just the name, for default options. */
const nameAndOptions = (value: unknown): { name: string; written: unknown } | undefined => {
  if (typeof value === 'string') return { name: value, written: undefined };
  const keys = isMap(value) ? Object.keys(value) : [];
  const name = keys[0];
  return isMap(value) && keys.length === 1 && name !== undefined ? { name, written: value[name] } : undefined;
};

/** Reads `name` or `{name: options}`; undefined (with problems added) when that is not what it is. */
export const readEntry = <Card>(
  problems: Problems,
  path: KeyPath,
  value: unknown,
  table: EntryTable<Card>,
): Entry<Card> | undefined => {
  const found = nameAndOptions(value);
  if (!found) {
    const several = isMap(value) && Object.keys(value).length > 1;
    problems.add(path, {
      message: several
        ? `a ${table.what} is a map with one key, and this one has ${Object.keys(value).join(', ')}`
        : `expected a ${table.what}, found ${describeValue(value)}`,
      hint: several
        ? `Start every ${table.what} with a dash of its own, and indent its options below its name.`
        : `Write one of ${[...table.cards.keys()].join(', ')}.`,
    });
    return undefined;
  }
  const at = isMap(value) ? [...path, found.name] : path;
  const card = table.cards.get(found.name);
  if (!card) {
    const named = { what: table.what, name: found.name, known: [...table.cards.keys()] };
    addUnknownName(problems, at, named, isMap(value) ? 'key' : 'value');
    return undefined;
  }
  const options = readOptions(problems, at, table.schemaOf(card), found.written ?? {});
  return options === undefined ? undefined : { name: found.name, card, options: options.value, path: at };
};

/** Says that a name is not in a table, with the nearest one that is. */
export const addUnknownName = (
  problems: Problems,
  path: KeyPath,
  { what, name, known }: { readonly what: string; readonly name: string; readonly known: readonly string[] },
  part: 'key' | 'value' = 'value',
): void => {
  const near = nearest(name, known);
  const hint = near ? `Did you mean '${near}'?` : `Known: ${known.join(', ')}.`;
  problems.add(path, { message: `there is no ${what} '${name}'`, hint }, part);
};

/** Parses options with their schema; undefined (with problems added) when they do not follow it. */
export const readOptions = (
  problems: Problems,
  path: KeyPath,
  schema: z.ZodType,
  written: unknown,
): { readonly value: unknown } | undefined => {
  const parsed = schema.safeParse(written);
  if (parsed.success) return { value: parsed.data };
  problems.addIssues({ schema, value: written, base: path }, parsed.error.issues);
  return undefined;
};
