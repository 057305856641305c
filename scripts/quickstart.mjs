// The main job on the project's own fixtures: build, make the fixtures, compress a language and a vision model by recipe.
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const node = (...args) => execFileSync(process.execPath, args, { cwd: root, stdio: 'inherit' });

await import('./build.mjs');
node('--import', 'tsx', 'fixtures/generate.ts');
for (const recipe of ['quickstart-language', 'quickstart-vision']) {
  console.error(`\n> compress run recipes/${recipe}.yaml`);
  node(join('dist', 'cli', 'main.js'), 'run', `recipes/${recipe}.yaml`);
}
