import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { internalError } from '../errors.ts';
import { Hasher } from '../kernels/index.ts';

const codeRoot = join(import.meta.dirname, '..');
const packageFile = join(codeRoot, '..', 'package.json');
const addonFile = join(codeRoot, '..', 'native', 'modelpress.node');

/** Packages whose version can change a result's bytes. */
const numericPackages = ['onnxruntime-node', '@huggingface/tokenizers', 'sharp'];

const versionIn = (file: string): string => {
  const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
  const version = typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : undefined;
  if (typeof version !== 'string') throw internalError('a package.json names no version', { file });
  return version;
};

/** Version of modelpress, from its package.json. */
export const toolVersion = (): string => versionIn(packageFile);

/** Version of an installed package, or undefined when it is not there. */
export const packageVersion = (name: string): string | undefined => {
  const folders = createRequire(import.meta.url).resolve.paths(name) ?? [];
  const file = folders.map((folder) => join(folder, name, 'package.json')).find((path) => existsSync(path));
  return file && versionIn(file);
};

let known: string | undefined;

/**
 * BLAKE3 over everything besides the inputs that decides what a stage computes: the program's own code, the native
 * addon, the versions of the numeric packages, and the processor family. Two runs may share a cached result only
 * where this agrees, so a result of older code is never taken for a new one.
 */
export const toolFingerprint = (): string => {
  if (known) return known;
  const hasher = new Hasher();
  const add = (name: string, bytes: Uint8Array | string): void => {
    const data = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes;
    hasher.update(new TextEncoder().encode(`${name}\0${data.byteLength}\0`));
    hasher.update(data);
  };
  const code = readdirSync(codeRoot, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(js|ts)$/.test(name) && !name.endsWith('.d.ts'))
    .map((name) => name.replaceAll('\\', '/'))
    .sort();
  for (const name of code) add(name, readFileSync(join(codeRoot, name)));
  if (existsSync(addonFile)) add('native', readFileSync(addonFile));
  for (const name of numericPackages) add(name, packageVersion(name) ?? '');
  add('platform', `${process.platform} ${process.arch}`);
  const digest = hasher.hex();
  known = digest;
  return digest;
};
