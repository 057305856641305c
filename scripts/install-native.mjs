// Runs when the published package is installed: nothing to do where the platform's package came along, else the addon is
// built. An installation does not fail for want of Rust: `compress` says the same when it first needs the addon.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { addonLocation } = await import('../dist/kernels/addon.js');
const found = addonLocation();

if (found.origin === 'missing' && existsSync(join(root, 'native', 'Cargo.toml'))) {
  const why = found.package
    ? `the package ${found.package} was not installed (optional dependencies left out?)`
    : `no package is published for ${process.platform}-${process.arch}`;
  console.error(`modelpress: ${why}; building the native addon from its sources instead.`);
  const built = spawnSync(process.execPath, [join(root, 'scripts', 'build-native.mjs')], { stdio: 'inherit' });
  if (built.status !== 0)
    console.error('modelpress: installed without its native addon. `compress doctor` shows what is missing.');
}
