import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { internalError } from '../errors.ts';

const versionIn = (file: string): string => {
  const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
  const version = typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : undefined;
  if (typeof version !== 'string') throw internalError('a package.json names no version', { file });
  return version;
};

/** Version of modelpress, from its package.json. */
export const toolVersion = (): string => versionIn(join(import.meta.dirname, '..', '..', 'package.json'));

/** Version of an installed package, or undefined when it is not there. */
export const packageVersion = (name: string): string | undefined => {
  const folders = createRequire(import.meta.url).resolve.paths(name) ?? [];
  const file = folders.map((folder) => join(folder, name, 'package.json')).find((path) => existsSync(path));
  return file && versionIn(file);
};
