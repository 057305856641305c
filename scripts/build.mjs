// Everything a fresh clone needs, in order: dependencies, native addon, generated protobuf code, JavaScript, fixtures.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const fail = (message) => {
  console.error(message);
  process.exit(2);
};

const run = (command, args) => {
  console.error(`> ${command} ${args.join(' ')}`);
  execFileSync(command, args, {
    cwd: root,
    stdio: ['ignore', process.stderr, process.stderr],
    shell: process.platform === 'win32',
  });
};

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 12))
  fail(`Node ${process.versions.node} is too old: modelpress needs Node 20.12 or newer.`);

/** The installed tree matches the lockfile when npm's own record of it lists the same versions. */
const dependenciesInstalled = () => {
  const record = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const found = JSON.parse(readFileSync(record, 'utf8')).packages;
  return Object.entries(wanted).every(
    ([path, entry]) => path === '' || entry.optional || found[path]?.version === entry.version,
  );
};

const step = async (name) => {
  console.error(`> ${name}`);
  await import(new URL(`./${name}`, import.meta.url).href);
};

// Not `npm ci`: that refuses a lockfile without every platform's optional packages, and not every registry has them all.
// Versions come from the lockfile all the same.
if (!dependenciesInstalled()) run('npm', ['install', '--no-save', '--no-audit', '--no-fund']);
await step('build-native.mjs');
await step('generate-proto.mjs');
const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
run(process.execPath, [join(typescript, 'bin', 'tsc'), '-p', 'tsconfig.json']);
await step('generate-schemas.mjs');
