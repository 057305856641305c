import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

const sharedRoot = resolve(import.meta.dirname, '../../shared/data');

/**
 * Path of a folder of the shared measuring data, or undefined where this machine has none.
 * Use as `describe.skipIf(!sharedData('vision-mnist'))('… (needs ../shared/data/vision-mnist)', …)`.
 */
export const sharedData = (name: string, ...path: string[]): string | undefined => {
  const found = join(sharedRoot, name, ...path);
  return existsSync(found) ? found : undefined;
};
