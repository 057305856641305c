import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Hasher } from '../kernels/index.ts';
import { packageVersion } from './version.ts';

const codeRoot = join(import.meta.dirname, '..');
const addonFile = join(codeRoot, '..', 'native', 'modelpress.node');

/** Packages whose version can change a result's bytes. */
const numericPackages = ['onnxruntime-node', '@huggingface/tokenizers', 'sharp'];

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
