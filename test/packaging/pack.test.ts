import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageNameOf, platforms } from '../../src/kernels/platform.ts';

const root = resolve(import.meta.dirname, '../..');
const built =
  existsSync(join(root, 'dist', 'cli', 'main.js')) &&
  existsSync(join(root, 'schemas')) &&
  existsSync(join(root, 'native', 'modelpress.node'));

interface Packed {
  readonly name: string;
  readonly file: string;
  readonly bytes: number;
  readonly unpackedBytes: number;
}

/** Bytes that a user downloads for us, without dependencies. */
const budget = { modelpress: 1_500_000, addon: 5_000_000 };

describe.skipIf(!built)('the packages, once `npm run build` has run', () => {
  const folder = mkdtempSync(join(tmpdir(), 'modelpress-pack-'));
  const modules = join(folder, 'node_modules');
  const main = join(modules, 'modelpress');
  let packed: readonly Packed[] = [];
  afterAll(() => rmSync(folder, { recursive: true }));

  const compress = (...args: string[]): string =>
    execFileSync(process.execPath, [join(main, 'dist', 'cli', 'main.js'), ...args], { cwd: folder, encoding: 'utf8' });

  beforeAll(() => {
    const packages = join(folder, 'packages');
    packed = JSON.parse(
      execFileSync(process.execPath, [join(root, 'scripts', 'pack.mjs'), '--output', packages], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    ) as Packed[];
    for (const { name, file } of packed) {
      const place = join(modules, name);
      mkdirSync(place, { recursive: true });
      execFileSync('tar', ['-xzf', file, '--strip-components=1', '-C', place]);
    }
    const taken = new Set(['modelpress', '@modelpress']);
    for (const name of readdirSync(join(root, 'node_modules')))
      if (!taken.has(name) && !name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(modules, name));
  }, 60_000);

  it('keep to their size', () => {
    const [modelpress, addon] = packed;
    expect(modelpress?.bytes).toBeLessThan(budget.modelpress);
    expect(addon?.bytes).toBeLessThan(budget.addon);
  });

  it('name one optional package a platform and no development parts', () => {
    const manifest = JSON.parse(readFileSync(join(main, 'package.json'), 'utf8')) as {
      devDependencies?: object;
      optionalDependencies: Record<string, string>;
      version: string;
    };
    expect(manifest.devDependencies).toBeUndefined();
    for (const platform of platforms)
      expect(manifest.optionalDependencies[packageNameOf(platform)]).toBe(manifest.version);
  });

  it('hold every file that the command loads, without sources of ours', () => {
    expect(existsSync(join(main, 'src'))).toBe(false);
    expect(compress('--help')).toContain('quantize');
    expect(compress('schema')).toContain('"stages"');
  });

  it('bring the addon along, so that no Rust is needed', () => {
    expect(existsSync(join(main, 'native', 'modelpress.node'))).toBe(false);
    const { checks } = JSON.parse(compress('doctor', '--json')) as { checks: { name: string; found: string }[] };
    expect(checks.find(({ name }) => name === 'native addon')?.found).toContain('prebuilt');
    execFileSync(process.execPath, [join(main, 'scripts', 'install-native.mjs')]);
    expect(existsSync(join(main, 'native', 'modelpress.node'))).toBe(false);
  });

  it.skipIf(!existsSync(join(root, 'fixtures', 'made', 'tiny-cnn', 'model.onnx')))('compress a model', () => {
    const model = join(root, 'fixtures', 'made', 'tiny-cnn', 'model.onnx');
    compress('quantize', model, '--output', join(folder, 'out'), '--bits', '8');
    expect(existsSync(join(folder, 'out', 'model.onnx'))).toBe(true);
  });
});
