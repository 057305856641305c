import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { CompressError } from '../errors.ts';
import { cacheDirectory } from './cache.ts';
import { readRecipeFile } from './load.ts';
import { runDirectory } from './run-folder.ts';
import { isAlive } from './store.ts';

const eventsName = 'events.ndjson';

/** Where the events of a run are, now or later. */
export interface FoundRun {
  /** Files that may hold them, the likeliest first; the first one that exists is meant. */
  readonly eventFiles: readonly string[];
  /** What is waited for, in words. */
  readonly description: string;
}

/** Caches that a run into `output` may use: the one of the environment, or those beside a recipe further up. */
const cachesAround = (output: string, directory: string): string[] => {
  const folders = [directory];
  for (let folder = dirname(output); ; folder = dirname(folder)) {
    folders.push(folder, join(folder, 'recipes'));
    if (dirname(folder) === folder) break;
  }
  return [...new Set(folders.map(cacheDirectory))];
};

/** True while the process that writes these events is at work. */
export const isRunning = (eventFile: string): boolean => {
  const lock = join(dirname(eventFile), 'lock');
  if (!existsSync(lock)) return false;
  const pid = Number(readFileSync(lock, 'utf8'));
  return pid > 0 && isAlive(pid);
};

/** Logs of running runs come first: an output folder may hold the log of the run before. */
const runningFirst = (files: readonly string[]): string[] => {
  const running = files.filter((file) => existsSync(file) && isRunning(file));
  return [...running, ...files.filter((file) => !running.includes(file))];
};

const ofOutput = (output: string, caches: readonly string[]): FoundRun => ({
  eventFiles: runningFirst([
    join(output, eventsName),
    ...caches.map((cache) => join(runDirectory(cache, output), eventsName)),
  ]),
  description: `a run that writes to ${output}`,
});

/** The log that was written last in a cache. */
const newest = (cache: string): FoundRun => {
  const runs = join(cache, 'runs');
  const files = (existsSync(runs) ? readdirSync(runs) : [])
    .map((name) => join(runs, name, eventsName))
    .flatMap((path) => {
      const facts = statSync(path, { throwIfNoEntry: false });
      return facts ? [{ path, changedMs: facts.mtimeMs }] : [];
    })
    .sort((a, b) => b.changedMs - a.changedMs);
  if (files.length === 0)
    throw new CompressError({
      code: 'not-found',
      message: `no run has left a log in ${cache}`,
      hint: 'Name the output folder or the recipe of the run: compress watch OUT.',
    });
  return { eventFiles: files.map(({ path }) => path), description: 'the last run' };
};

/**
 * Where the events of a run are.
 * @param run an output folder (of a run that is still to come, too), a recipe, a log of events, or undefined for the
 * last run of the working directory.
 * @throws not-found for a file that is none of these.
 */
export const findRun = (run: string | undefined, directory: string): FoundRun => {
  if (run === undefined) return newest(cacheDirectory(directory));
  const path = resolve(directory, run);
  if (path.endsWith('.ndjson')) return { eventFiles: [path], description: path };
  if (/\.(ya?ml|json)$/.test(path)) {
    const recipe = readRecipeFile(path);
    return ofOutput(recipe.output, [cacheDirectory(recipe.baseDirectory)]);
  }
  if (statSync(path, { throwIfNoEntry: false })?.isFile())
    throw new CompressError({
      code: 'not-found',
      message: 'this is no run',
      where: { file: path },
      hint: 'Name an output folder, a recipe (.yaml) or a log of events (.ndjson).',
    });
  return ofOutput(path, cachesAround(path, directory));
};
