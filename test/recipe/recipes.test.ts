import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { recipeJsonSchema } from '../../src/recipe/json-schema.ts';
import { readRecipeFile } from '../../src/recipe/load.ts';
import { planRecipe } from '../../src/recipe/plan.ts';
import { runRecipe } from '../../src/recipe/run.ts';
import { sharedData } from '../shared.ts';
import { freshFolder } from './tiny-run.ts';

const folder = join(import.meta.dirname, '../../recipes');
const recipes = readdirSync(folder).filter((name) => name.endsWith('.yaml'));

describe.each(recipes)('recipes/%s', (name) => {
  const file = join(folder, name);
  const text = readFileSync(file, 'utf8');

  test('follows the schema and points editors at it', () => {
    expect(text.split('\n')[0]).toBe('# yaml-language-server: $schema=../schemas/recipe.schema.json');
    expect(readRecipeFile(file).output).toBe(join(folder, '../out', name.replace('.yaml', '')));
  });

  test.skipIf(text.includes('../shared/') && !sharedData('README.md'))(
    'can be planned (needs ../shared/data)',
    async () => {
      const plan = await planRecipe(readRecipeFile(file));
      expect(plan.stages.length).toBeGreaterThan(0);
      for (const stage of plan.stages) expect(stage.sites.length).toBeGreaterThan(0);
      expect(plan.predictedBytes).toBeLessThan(plan.model.constantBytes);
      expect(plan.evaluation[0]?.samples).toBeGreaterThan(0);
    },
  );
});

describe('recipes on the fixtures', () => {
  test.each(recipes.filter((name) => name.startsWith('quickstart')))('%s passes its own gates', async (name) => {
    const output = freshFolder();
    process.env.COMPRESS_CACHE = join(output, 'cache');
    try {
      const recipe = readRecipeFile(join(folder, name), [
        { path: ['output'], value: join(output, 'out'), flag: 'output' },
      ]);
      const report = await runRecipe(recipe);
      expect(report.gates.filter(({ passed }) => !passed)).toEqual([]);
      expect(report).toMatchObject({ outcome: 'done' });
    } finally {
      delete process.env.COMPRESS_CACHE;
    }
  });
});

describe('schemas/recipe.schema.json', () => {
  test.each(recipes)('accepts recipes/%s as editors read it', (name) => {
    const schema = z.fromJSONSchema(JSON.parse(JSON.stringify(recipeJsonSchema())));
    const recipe: unknown = parse(readFileSync(join(folder, name), 'utf8'));
    expect(schema.safeParse(recipe)).toMatchObject({ success: true });
    expect(schema.safeParse({ ...(recipe as object), modle: 'm' }).success).toBe(false);
  });

  test('is what the code says (node scripts/generate-schemas.mjs writes it)', () => {
    const written = join(import.meta.dirname, '../../schemas/recipe.schema.json');
    expect(existsSync(written)).toBe(true);
    expect(JSON.parse(readFileSync(written, 'utf8'))).toEqual(JSON.parse(JSON.stringify(recipeJsonSchema())));
  });
});
