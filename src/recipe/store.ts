import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { writeError } from '../artifact/staged-file.ts';

/** Writes a file so that it is either the old one or wholly the new one, whenever the process is killed. */
export const writeWhole = (path: string, bytes: Uint8Array | string): void => {
  const partial = `${path}.${process.pid}.partial`;
  orExplain(path, () => {
    mkdirSync(dirname(path), { recursive: true });
    const file = openSync(partial, 'w');
    try {
      const data = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes;
      for (let done = 0; done < data.byteLength; ) done += writeSync(file, data, done);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(partial, path);
  });
};

/** Runs a file operation; what the system refuses becomes a resource error that names the path. */
export const orExplain = <Result>(path: string, operation: () => Result): Result => {
  try {
    return operation();
  } catch (cause) {
    throw writeError(cause, path);
  }
};

/** Regular files below a folder, with sizes, in the order of their names; empty when the folder does not exist. */
export const filesBelow = (
  directory: string,
): { readonly path: string; readonly bytes: number; readonly usedMs: number }[] => {
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) return [];
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .sort()
    .flatMap((name) => {
      const path = join(directory, name);
      const facts = statSync(path, { throwIfNoEntry: false });
      return facts?.isFile() ? [{ path, bytes: facts.size, usedMs: facts.mtimeMs }] : [];
    });
};

/** True while a process with this number runs on this machine. */
export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
};

/** Removes what a killed process left in a folder whose entries are named `<pid>-…`. */
export const removeAbandoned = (directory: string): void => {
  for (const name of readdirSync(directory)) {
    const pid = Number.parseInt(name, 10);
    if (!(pid > 0) || (pid !== process.pid && isAlive(pid))) continue;
    if (pid !== process.pid) rmSync(join(directory, name), { recursive: true, force: true });
  }
};
