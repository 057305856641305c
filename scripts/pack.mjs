// The packages as they are published, into out/packages: modelpress itself, and the one with the addon of this platform.
// usage: node scripts/pack.mjs [--addon FILE --platform NAME]   (after `npm run build`; prints the tarballs as JSON)
// What is published differs from the repository: optional dependencies on the platforms' packages, no development parts.
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { currentPlatform, packageNameOf, platforms } from '../dist/kernels/platform.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({
  options: { addon: { type: 'string' }, platform: { type: 'string' }, output: { type: 'string' } },
});
const target = values.output ?? join(root, 'out', 'packages');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

const platform = values.platform
  ? platforms.find((candidate) => candidate.target === values.platform)
  : currentPlatform();
if (!platform) {
  console.error(`no package is published for ${values.platform ?? `${process.platform}-${process.arch}`}`);
  process.exit(2);
}
const addon = values.addon ?? join(root, 'native', 'modelpress.node');
if (!existsSync(addon)) {
  console.error(`${addon} is missing: run \`npm run build\` first`);
  process.exit(2);
}

const writeJson = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);

/** The files of a folder that end so; nothing that runs have left there. */
const copyFiles = (from, to, ending) => {
  mkdirSync(to);
  for (const file of readdirSync(from).filter((name) => name.endsWith(ending)))
    copyFileSync(join(from, file), join(to, file));
};

/** Folder of modelpress itself: compiled code, sources of the addon for platforms without a package, recipes, schemas. */
const layMain = () => {
  const folder = join(target, 'modelpress');
  mkdirSync(join(folder, 'native'), { recursive: true });
  const { devDependencies: _, scripts: __, ...kept } = manifest;
  writeJson(join(folder, 'package.json'), {
    ...kept,
    scripts: { install: 'node scripts/install-native.mjs' },
    files: [...manifest.files],
    optionalDependencies: {
      ...manifest.optionalDependencies,
      ...Object.fromEntries(platforms.map((each) => [packageNameOf(each), manifest.version])),
    },
  });
  const isCode = (path) => !path.endsWith('.map') && !path.endsWith('.tsbuildinfo');
  cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true, filter: isCode });
  cpSync(join(root, 'native', 'src'), join(folder, 'native', 'src'), { recursive: true });
  for (const file of ['Cargo.toml', 'Cargo.lock', 'build.rs'])
    copyFileSync(join(root, 'native', file), join(folder, 'native', file));
  for (const [part, ending] of [
    ['recipes', '.yaml'],
    ['schemas', '.json'],
  ])
    copyFiles(join(root, part), join(folder, part), ending);
  mkdirSync(join(folder, 'scripts'));
  for (const file of ['build-native.mjs', 'install-native.mjs'])
    copyFileSync(join(root, 'scripts', file), join(folder, 'scripts', file));
  for (const file of ['README.md', 'CHANGELOG.md', 'LICENSE']) copyFileSync(join(root, file), join(folder, file));
  return folder;
};

/** Folder of the package with the addon, in the layout of napi-rs. */
const layAddon = () => {
  const name = packageNameOf(platform);
  const folder = join(target, name.split('/')[1]);
  mkdirSync(folder, { recursive: true });
  writeJson(join(folder, 'package.json'), {
    name,
    version: manifest.version,
    description: `The native addon of modelpress for ${platform.target}`,
    license: manifest.license,
    main: 'modelpress.node',
    files: ['modelpress.node'],
    engines: manifest.engines,
    os: [platform.os],
    cpu: [platform.cpu],
    ...(platform.libc ? { libc: [platform.libc] } : {}),
  });
  copyFileSync(addon, join(folder, 'modelpress.node'));
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  return folder;
};

rmSync(target, { recursive: true, force: true });
const packed = [layMain(), layAddon()].map((folder) => {
  const out = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', target], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    shell: process.platform === 'win32',
  });
  const [{ name, filename, size, unpackedSize, entryCount }] = JSON.parse(out);
  return { name, file: join(target, filename), bytes: size, unpackedBytes: unpackedSize, files: entryCount };
});
console.log(JSON.stringify(packed, null, 2));
