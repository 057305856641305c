import { stat } from 'node:fs/promises';
import { CompressError } from '../../errors.ts';
import { hashBytes, hashFile } from '../../kernels/index.ts';

/**
 * BLAKE3 over everything that decides the samples of a dataset: its kind, its normalised options, its files' bytes.
 * Paths do not count: the same bytes elsewhere are the same data.
 */
export const fingerprintOf = async (
  kind: string,
  options: Readonly<Record<string, unknown>>,
  files: readonly string[],
): Promise<string> => {
  const hashes: string[] = [];
  for (const file of files) hashes.push(await hashFile(file));
  const facts = JSON.stringify([kind, Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1)), hashes]);
  return hashBytes(new TextEncoder().encode(facts));
};

/** @throws CompressError 'not-found' when there is nothing at `path`, 'data' when it is not a file (or not a folder). */
export const checkPath = async (path: string, expected: 'file' | 'folder'): Promise<void> => {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new CompressError({ code: 'not-found', message: `no such ${expected}`, where: { file: path } });
  if ((expected === 'file') !== found.isFile())
    throw new CompressError({ code: 'data', message: `a ${expected} is needed here`, where: { file: path } });
};
