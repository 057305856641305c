import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Cache } from './cache.ts';
import { contentKey } from './cache-keys.ts';
import { takeLock } from './lock.ts';
import { orExplain } from './store.ts';

/** Where a run keeps what concerns it alone. The same output always has the same folder. */
export interface RunFolder {
  /** Events of the run as they happen. */
  readonly eventFile: string;
  /** Lets another run write to the same output. */
  release(): void;
}

/** The folder of a run that writes to `output`, in a cache. */
export const runDirectory = (cache: string, output: string): string =>
  join(cache, 'runs', contentKey(output).slice(0, 16));

/** Takes the folder of an output for this run. @throws resource error while another run has it. */
export const openRunFolder = (cache: Cache, output: string): RunFolder => {
  const directory = runDirectory(cache.directory, output);
  orExplain(directory, () => mkdirSync(directory, { recursive: true }));
  const release = takeLock(join(directory, 'lock'), output);
  return { eventFile: join(directory, 'events.ndjson'), release };
};
