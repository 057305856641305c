// One command that checks everything: build, types, lint, dead exports, clippy, Rust tests, fixtures, tests.
import { execFileSync } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const npm = (script) => {
  console.error(`> npm run ${script}`);
  execFileSync('npm', ['run', '--silent', script], {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
};

await import('./build.mjs');
for (const script of ['check', 'test:rust', 'fixtures', 'test']) npm(script);
