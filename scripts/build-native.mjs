// The Rust addon as native/modelpress.node. Cargo does nothing when the sources have not changed.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const native = join(dirname(dirname(fileURLToPath(import.meta.url))), 'native');
const addon = join(native, 'modelpress.node');

const fail = (message) => {
  console.error(message);
  process.exit(2);
};

const installRust =
  process.platform === 'win32'
    ? 'winget install Rustlang.Rustup'
    : "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y";

const built = spawnSync('cargo', ['build', '--release', '--locked', '--message-format=json-render-diagnostics'], {
  cwd: native,
  stdio: ['ignore', 'pipe', 'inherit'],
  encoding: 'utf8',
  maxBuffer: 256 << 20,
});
if (built.error?.code === 'ENOENT')
  fail(
    `modelpress has a part written in Rust, and no Rust toolchain was found (the command "cargo" is missing).\n` +
      `Install it with\n\n  ${installRust}\n\nthen open a new terminal and run this command again.`,
  );
if (built.error) fail(`cargo could not be started: ${built.error.message}`);
if (built.status !== 0)
  fail(`The Rust part did not build (see above). It needs Rust 1.88 or newer; "rustup update stable" brings it.`);

/** Cargo tells where it put the library, wherever its target folder is; fresh artifacts are listed too. */
const library = built.stdout
  .split('\n')
  .filter((line) => line.startsWith('{'))
  .map((line) => JSON.parse(line))
  .filter((message) => message.reason === 'compiler-artifact' && message.target.name === 'modelpress_native')
  .flatMap((message) => message.filenames)
  .find((file) => /\.(so|dylib|dll)$/.test(file));
if (!library) fail('cargo built no dynamic library for this platform.');

if (!existsSync(addon) || !readFileSync(addon).equals(readFileSync(library))) {
  const beside = `${addon}.new`;
  copyFileSync(library, beside);
  renameSync(beside, addon);
}
