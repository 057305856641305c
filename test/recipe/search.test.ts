import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readRecipeFile } from '../../src/recipe/load.ts';
import { combinations, frontOf, parseSearchLimit, parseVariation, searchRecipes } from '../../src/recipe/search.ts';
import { fixture } from './tiny-run.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'modelpress-search-'));
  process.env.COMPRESS_CACHE = join(directory, 'cache');
});
afterEach(() => {
  delete process.env.COMPRESS_CACHE;
  rmSync(directory, { recursive: true, force: true });
});

describe('variations', () => {
  test('are combined, the last one fastest', () => {
    const points = combinations([parseVariation('seed=[1, 2]'), parseVariation('stages.0.slice.ratio=[0.1, 0.2]')]);
    expect(points.map((point) => point.map(({ value }) => value))).toEqual([
      [1, 0.1],
      [1, 0.2],
      [2, 0.1],
      [2, 0.2],
    ]);
  });

  test('are lists, and limits are numbers', () => {
    expect(() => parseVariation('seed=1')).toThrow('no list of values');
    expect(() => parseVariation('seed=[]')).toThrow('no list of values');
    expect(() => parseSearchLimit('size')).toThrow('metric=number');
    expect(() => parseSearchLimit('size=small')).toThrow('metric=number');
    expect(parseSearchLimit('kl=0.1')).toEqual({ metric: 'kl', value: 0.1 });
  });
});

test('the front holds what nothing else beats, and the first of equals', () => {
  const points = [
    { cost: 1, loss: 3 },
    { cost: 2, loss: 2 },
    { cost: 2, loss: 2 },
    { cost: 3, loss: 2 },
    { cost: 4, loss: 1 },
  ];
  expect(frontOf(points)).toEqual([true, true, false, false, true]);
});

describe('a search over a recipe', () => {
  const recipeFile = (): string => {
    const path = join(directory, 'recipe.yaml');
    const folder = fixture('tiny-llama');
    writeFileSync(
      path,
      `model: ${folder}
output: out
data:
  calibration: { text: ${folder}/calibration.txt, window: 64, samples: 8 }
  evaluation: { text: ${folder}/evaluation.txt, window: 64, samples: 4 }
metrics: [kl]
stages:
  - factorize: { ratio: 0.2, refit: false }
write: [onnx]
`,
    );
    return path;
  };

  const search = (vary: readonly string[], limits: readonly string[] = []) => {
    const file = recipeFile();
    return searchRecipes({
      read: (overrides) => readRecipeFile(file, overrides),
      variations: vary.map(parseVariation),
      output: join(directory, 'points'),
      limits: limits.map(parseSearchLimit),
      cost: 'size',
      quality: undefined,
      onPoint: () => undefined,
    });
  };

  test('runs every point, draws the front and keeps what cannot be met with the reason', async () => {
    const { points, best, quality } = await search(['stages.0.factorize.ratio=[0.1, 0.3, 0.999]'], ['kl=1']);
    expect(quality).toBe('kl');
    expect(points.map(({ settings }) => settings)).toEqual([
      ['stages.0.factorize.ratio=0.1'],
      ['stages.0.factorize.ratio=0.3'],
      ['stages.0.factorize.ratio=0.999'],
    ]);
    expect(points.map(({ onFront }) => onFront)).toEqual([true, true, false]);
    expect(points[1]!.metrics.size).toBeLessThan(points[0]!.metrics.size!);
    expect(points[1]!.metrics.kl).toBeGreaterThan(points[0]!.metrics.kl!);
    expect(points[2]!.obstacle).toContain('cannot be met');
    expect(best).toBe(1);
  });

  test('a metric that is not measured is refused', async () => {
    await expect(search(['seed=[0]'], ['accuracy=0.9'])).rejects.toThrow('accuracy was not measured');
  });
});
