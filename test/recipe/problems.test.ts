import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { CompressErrors } from '../../src/errors.ts';
import { knownKeysAt, nearest } from '../../src/recipe/known-keys.ts';
import { Problems } from '../../src/recipe/problems.ts';
import { parseRecipe } from '../../src/recipe/source.ts';

const weights = z.strictObject({
  bits: z.union([z.literal(2), z.literal(4), z.literal(8)]).default(4),
  group_size: z.union([z.literal('row'), z.int().min(16)]).default(32),
});
const schema = z.strictObject({
  model: z.string(),
  seed: z.int().min(0).default(0),
  method: z.enum(['auto', 'rtn', 'gptq']).default('auto'),
  weights: z.preprocess((value) => value, weights).default({ bits: 4, group_size: 32 }),
  source: z
    .union([z.string(), z.strictObject({ text: z.string(), window: z.int() }), z.strictObject({ images: z.string() })])
    .optional(),
  step: z
    .union([z.strictObject({ quantize: weights }), z.strictObject({ slice: z.strictObject({ ratio: z.number() }) })])
    .optional(),
});

/** `line:column message | hint` of every problem. */
const problemsOf = (text: string): string[] => {
  const source = parseRecipe(text, 'r.yaml');
  const parsed = schema.safeParse(source.value);
  if (parsed.success) return [];
  const problems = new Problems(source);
  problems.addIssues({ schema, value: source.value, base: [] }, parsed.error.issues);
  try {
    problems.throwIfAny();
  } catch (error) {
    if (error instanceof CompressErrors)
      return error.errors.map(
        ({ where, message, hint }) => `${where.line}:${where.column} ${message}${hint ? ` | ${hint}` : ''}`,
      );
    throw error;
  }
  return [];
};

describe('problems of a recipe', () => {
  test('all of them are told at once, in the order of the lines', () => {
    expect(problemsOf('seed: -1\nmethod: gtpq\nweights: { bit: 4, group_size: 8 }\n')).toEqual([
      "1:1 the key 'model' is missing",
      '1:7 expected at least 0, found -1',
      '2:9 expected auto, rtn or gptq, found the text "gtpq" | Did you mean \'gptq\'?',
      "3:12 unknown key 'bit' | Did you mean 'bits'?",
      '3:32 expected at least 16, found 8',
    ]);
  });

  test('a value of the wrong kind says what was found', () => {
    expect(problemsOf('model: [a]\nweights: none\n')).toEqual([
      '1:8 expected a text, found a list',
      '2:10 expected a map of keys, found the text "none"',
    ]);
  });

  test('a choice among literals names them all', () => {
    expect(problemsOf('model: a\nweights: { bits: 5 }')).toEqual(['2:18 expected 2, 4 or 8, found 5']);
  });

  test('inside alternatives, the one that was meant is judged', () => {
    expect(problemsOf('model: a\nsource: { text: a.txt, window: x }')).toEqual([
      '2:32 expected a number, found the text "x"',
    ]);
    expect(problemsOf('model: a\nsource: 5')).toEqual(['2:9 expected a text or a map of keys, found 5']);
  });

  test('an unknown alternative is named with the nearest known one', () => {
    expect(problemsOf('model: a\nstep: { quantise: { bits: 4 } }')).toEqual([
      "2:9 unknown key 'quantise' | Did you mean 'quantize'?",
    ]);
    expect(problemsOf('model: a\nstep: { prune: { bits: 4 } }')).toEqual([
      "2:9 unknown key 'prune' | Known here: quantize, slice.",
    ]);
  });
});

describe('known names', () => {
  test('keys are found through defaults, transforms and alternatives', () => {
    expect(knownKeysAt(schema, ['weights'])).toEqual(['bits', 'group_size']);
    expect(knownKeysAt(schema, ['source'])).toEqual(['text', 'window', 'images']);
    expect(knownKeysAt(schema, ['model'])).toEqual([]);
  });

  test('the nearest name must be near', () => {
    expect(nearest('groupsize', ['bits', 'group_size'])).toBe('group_size');
    expect(nearest('sparsity', ['bits', 'group_size'])).toBeUndefined();
  });
});
