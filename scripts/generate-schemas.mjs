// schemas/*.schema.json from the zod schemas of the source code. `--check` only compares and fails when they differ.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { register } from 'tsx/esm/api';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const unregister = register();
const { recipeJsonSchema } = await import('../src/recipe/json-schema.ts');
const { reportJsonSchema } = await import('../src/report/schema.ts');
const { manifestJsonSchema } = await import('../src/artifact/manifest-schema.ts');
await unregister();

const schemas = { recipe: recipeJsonSchema(), manifest: manifestJsonSchema(), report: reportJsonSchema() };

const check = process.argv.includes('--check');
for (const [name, schema] of Object.entries(schemas)) {
  const target = join(root, 'schemas', `${name}.schema.json`);
  const text = `${JSON.stringify(schema, null, 2)}\n`;
  if (!check) {
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
  } else if (readFileSync(target, 'utf8') !== text) {
    console.error(`${target} is out of date: run node scripts/generate-schemas.mjs`);
    process.exitCode = 1;
  }
}
