import { existsSync, realpathSync, statSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { writeError } from './staged-file.ts';

const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
};

const replacedSuffix = '.replaced';

/** Removes what a killed run has left beside `target`; an output that was moved away for the exchange comes back. */
const clearAbandoned = async (target: string): Promise<void> => {
  const parent = dirname(target);
  const prefix = `.${basename(target)}.partial-`;
  for (const name of await readdir(parent)) {
    const rest = name.startsWith(prefix) ? name.slice(prefix.length) : '';
    const pid = Number.parseInt(rest, 10);
    if (!Number.isInteger(pid) || isRunning(pid)) continue;
    const leftover = join(parent, name);
    if (rest.endsWith(replacedSuffix) && !existsSync(target)) await rename(leftover, target);
    else await rm(leftover, { recursive: true, force: true });
  }
};

/** Flushes a folder's entries, where the system can (Windows cannot open folders). */
const syncFolder = async (path: string): Promise<void> => {
  if (process.platform === 'win32') return;
  const handle = await open(path, 'r');
  await handle.sync().finally(() => handle.close());
};

/**
 * A folder that takes its place only when it is complete: made beside it as `.<name>.partial-<pid>` and renamed. Until
 * then whatever stood there is untouched, and it comes back when the exchange fails.
 */
export class StagedFolder {
  /** Where the folder will be, links followed. */
  readonly target: string;
  /** Where to write until `commit`. */
  readonly directory: string;

  private constructor(target: string) {
    this.target = target;
    this.directory = join(dirname(target), `.${basename(target)}.partial-${process.pid}`);
  }

  /** @throws resource errors when nothing can be written beside the target. */
  static async create(path: string): Promise<StagedFolder> {
    const absolute = resolve(path);
    const staged = new StagedFolder(existsSync(absolute) ? realpathSync(absolute) : absolute);
    try {
      await mkdir(dirname(staged.target), { recursive: true });
      await clearAbandoned(staged.target);
      await rm(staged.directory, { recursive: true, force: true });
      await mkdir(staged.directory);
    } catch (cause) {
      throw writeError(cause, path);
    }
    return staged;
  }

  /** Files written so far, relative to the folder with forward slashes, sorted. */
  async files(): Promise<string[]> {
    const names = await readdir(this.directory, { recursive: true });
    return names
      .filter((name) => statSync(join(this.directory, name)).isFile())
      .map((name) => name.replaceAll('\\', '/'))
      .sort();
  }

  /** Puts the folder in place; what stood there is removed afterwards. */
  async commit(): Promise<void> {
    const previous = `${this.directory}${replacedSuffix}`;
    const replaces = existsSync(this.target);
    try {
      await syncFolder(this.directory);
      if (replaces) await rename(this.target, previous);
      try {
        await rename(this.directory, this.target);
      } catch (cause) {
        if (replaces) await rename(previous, this.target);
        throw cause;
      }
      await syncFolder(dirname(this.target));
      if (replaces) await rm(previous, { recursive: true, force: true });
    } catch (cause) {
      throw writeError(cause, this.target);
    }
  }

  /** Leaves nothing behind. Does nothing after `commit`. */
  async discard(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}
