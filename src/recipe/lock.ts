import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { CompressError } from '../errors.ts';
import { isAlive, orExplain } from './store.ts';

/** Locks of this process. */
const held = new Set<string>();

/**
 * Takes a lock file for the life of a run, so that two runs never write the same output at once. The lock of a
 * process that no longer runs is taken over.
 * @returns the function that gives it back. @throws resource error naming the other process.
 */
export const takeLock = (path: string, purpose: string): (() => void) => {
  orExplain(path, () => mkdirSync(dirname(path), { recursive: true }));
  for (let attempt = 0; ; attempt++) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' });
      held.add(path);
      return () => {
        held.delete(path);
        rmSync(path, { force: true });
      };
    } catch (cause) {
      if (!(cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')) throw cause;
      const holder = Number(readFileSync(path, 'utf8'));
      const working = holder === process.pid ? held.has(path) : holder > 0 && isAlive(holder);
      if (attempt > 0 || working)
        throw new CompressError({
          code: 'resource',
          message: `process ${holder} is already at work on ${purpose}`,
          hint: `Wait for it to end. If no such run exists, remove ${path}.`,
          cause,
        });
      rmSync(path, { force: true });
    }
  }
};
