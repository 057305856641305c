import type { z } from 'zod';
import { nearest } from './known-keys.ts';

type Issue = z.core.$ZodIssue;

/** What a value is, in words: `the text "abc"`, `3`, `a list`, `nothing`. */
export const describeValue = (value: unknown): string => {
  if (value === null || value === undefined) return 'nothing';
  if (typeof value === 'string')
    return `the text ${JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}…` : value)}`;
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return 'a map of keys';
  return String(value);
};

/** `a, b or c`. */
export const anyOf = (words: readonly string[]): string =>
  words.length <= 1 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;

const typeWords: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map of keys',
  record: 'a map of keys',
  null: 'nothing',
};

const literal = (value: unknown): string => (typeof value === 'string' ? value : String(value));

/** What an issue says was expected, for use after the word 'expected'. */
export const expectation = (issue: Issue): string | undefined => {
  switch (issue.code) {
    case 'invalid_type':
      return typeWords[issue.expected] ?? `a ${issue.expected}`;
    case 'invalid_value':
      return anyOf(issue.values.map(literal));
    case 'too_small':
      return sizeWords(issue.origin, issue.inclusive === false ? 'more than' : 'at least', Number(issue.minimum));
    case 'too_big':
      return sizeWords(issue.origin, issue.inclusive === false ? 'less than' : 'at most', Number(issue.maximum));
    case 'not_multiple_of':
      return `a multiple of ${issue.divisor}`;
    case 'invalid_union':
      return unionWords(issue);
    default:
      return undefined;
  }
};

const sizeWords = (origin: string, relation: string, limit: number): string => {
  if (origin === 'string') return limit === 1 ? 'a text that is not empty' : `${relation} ${limit} characters`;
  if (origin === 'array' || origin === 'set')
    return limit === 1 && relation === 'at least' ? 'a list that is not empty' : `${relation} ${limit} entries`;
  return `${relation} ${limit}`;
};

/** The alternatives of a union of which none fits at all, each once. */
const unionWords = (issue: Extract<Issue, { code: 'invalid_union' }>): string | undefined => {
  const words = issue.errors.flatMap((branch) => {
    const whole = branch.find((inner) => inner.path.length === 0);
    const found = whole && expectation(whole);
    return found ? [found] : [];
  });
  return words.length > 0 ? anyOf([...new Set(words)]) : undefined;
};

/** The message of an issue about the value `found`. Issues of our own checks ('custom') bring their words. */
export const issueMessage = (issue: Issue, found: unknown): string => {
  const expected = expectation(issue);
  return expected ? `expected ${expected}, found ${describeValue(found)}` : issue.message;
};

/** What to write instead of a key or a name that is not known. */
export const suggestion = (written: string, known: readonly string[]): string | undefined => {
  const near = nearest(written, known);
  if (near) return `Did you mean '${near}'?`;
  return known.length > 0 ? `Known here: ${known.join(', ')}.` : undefined;
};
