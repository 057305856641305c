import { describe, expect, test } from 'vitest';
import { CompressError } from '../../src/errors.ts';
import { parseSet, withOverrides } from '../../src/recipe/overrides.ts';
import { parseRecipe } from '../../src/recipe/source.ts';

const source = parseRecipe('model: a\nstages:\n  - quantize: { weights: { bits: 4 } }\n', 'r.yaml');
const set = (...texts: string[]): unknown => withOverrides(source, texts.map(parseSet)).value;

describe('--set', () => {
  test('replaces a value, read as YAML', () => {
    expect(set('stages.0.quantize.weights.bits=3', 'seed=7', 'stages.0.quantize.ignore=["lm_head"]')).toEqual({
      model: 'a',
      seed: 7,
      stages: [{ quantize: { weights: { bits: 3 }, ignore: ['lm_head'] } }],
    });
  });

  test('makes maps and lists that are not there yet', () => {
    expect(set('gates.0.size.ratio=0.3')).toMatchObject({ gates: [{ size: { ratio: 0.3 } }] });
  });

  test('leaves the recipe as read untouched', () => {
    set('model=b');
    expect(source.value).toMatchObject({ model: 'a' });
  });

  test('names itself as the place of the value', () => {
    const changed = withOverrides(source, [parseSet('seed=x')]);
    expect(changed.locate(['seed'])).toEqual({ flag: '--set seed' });
    expect(changed.locate(['model'])).toMatchObject({ line: 1 });
  });

  test.each(['seed', '=3', 'a..b=1', 'stages.x.y=1', 'stages.7.y=1', 'model.path=1', '__proto__.x=1', 'a=[1'])(
    'refuses %s',
    (text) => {
      expect(() => set(text)).toThrow(CompressError);
    },
  );
});
