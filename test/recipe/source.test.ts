import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CompressError, CompressErrors } from '../../src/errors.ts';
import { builtRecipe, parseRecipe, readRecipe } from '../../src/recipe/source.ts';
import { freshFolder } from './tiny-run.ts';

const folder = freshFolder();

const errorOf = (work: () => unknown): CompressError => {
  try {
    work();
  } catch (error) {
    if (error instanceof CompressError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

describe('positions in a recipe', () => {
  const source = parseRecipe(
    ['model: a.onnx', 'stages:', '  - quantize:', '      weights: { bits: 4 }', 'list: [1,', '  22]'].join('\n'),
    'r.yaml',
  );

  test('a value is found at its own line and column', () => {
    expect(source.locate(['stages', 0, 'quantize', 'weights', 'bits'])).toEqual({
      file: 'r.yaml',
      line: 4,
      column: 24,
      key: 'stages.0.quantize.weights.bits',
    });
    expect(source.locate(['list', 1])).toMatchObject({ line: 6, column: 3 });
  });

  test('a key is found apart from its value', () => {
    expect(source.locate(['stages', 0, 'quantize'], 'key')).toMatchObject({ line: 3, column: 5 });
    expect(source.locate(['stages', 0, 'quantize'])).toMatchObject({ line: 4, column: 7 });
  });

  test('a key that does not exist is placed at the nearest enclosing value', () => {
    expect(source.locate(['stages', 0, 'quantize', 'method'])).toMatchObject({ line: 4, column: 7 });
    expect(source.locate(['output'])).toMatchObject({ line: 1, column: 1 });
  });

  test('a value behind an alias is placed at the anchor it repeats', () => {
    const aliased = parseRecipe('a: &x { k: 1 }\nb: *x\n', 'r.yaml');
    expect(aliased.value).toEqual({ a: { k: 1 }, b: { k: 1 } });
    expect(aliased.locate(['b', 'k'])).toMatchObject({ line: 1, column: 12 });
  });

  test('a recipe built from flags names the flag', () => {
    const built = builtRecipe(
      { stages: [{ quantize: { weights: { bits: 9 } } }] },
      new Map([['stages.0.quantize.weights.bits', '--bits']]),
    );
    expect(built.locate(['stages', 0, 'quantize', 'weights', 'bits'])).toEqual({ flag: '--bits' });
    expect(built.locate(['output'])).toEqual({ key: 'output' });
  });
});

describe('files that are no recipes', () => {
  test('every syntax error is told with its place', () => {
    const error = errorOf(() => parseRecipe('a: [1, 2\nb: "x\n', 'r.yaml'));
    expect(error).toBeInstanceOf(CompressErrors);
    const places = (error as CompressErrors).errors.map(({ code, where }) => [code, where.file, where.line]);
    expect(places.length).toBeGreaterThan(1);
    for (const [code, file, line] of places) expect([code, file, typeof line]).toEqual(['recipe', 'r.yaml', 'number']);
  });

  test('a key given twice is an error', () => {
    expect(errorOf(() => parseRecipe('seed: 1\nseed: 2\n', 'r.yaml')).where).toMatchObject({ line: 2, column: 1 });
  });

  test('aliases that unfold into very many values are refused', () => {
    const bomb = [
      'a: &a [x, x, x, x, x, x, x, x, x]',
      ...'bcdefghi'.split('').map((name, index) => {
        const before = 'abcdefgh'[index];
        return `${name}: &${name} [${Array(9).fill(`*${before}`).join(', ')}]`;
      }),
    ].join('\n');
    expect(errorOf(() => parseRecipe(bomb, 'bomb.yaml')).code).toBe('unsafe');
  });

  test('nesting without end is refused, not a crash', () => {
    expect(errorOf(() => parseRecipe('['.repeat(200_000), 'deep.yaml')).code).toMatch(/unsafe|recipe/);
  });

  test('a large file is refused before it is parsed', () => {
    const path = join(folder, 'large.yaml');
    writeFileSync(path, Buffer.alloc((1 << 20) + 1, 0x20));
    expect(errorOf(() => readRecipe(path)).code).toBe('unsafe');
  });

  test('a missing file and a folder are told apart', () => {
    expect(errorOf(() => readRecipe(join(folder, 'none.yaml'))).code).toBe('not-found');
    expect(errorOf(() => readRecipe(folder)).code).toBe('usage');
  });
});
