import { existsSync, readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { CompressError } from '../errors.ts';
import { manifestName } from './manifest.ts';
import { writeError } from './staged-file.ts';

/** A path with links followed as far as it exists. */
const realPath = (path: string): string => {
  const absolute = resolve(path);
  if (existsSync(absolute)) return realpathSync(absolute);
  const parent = dirname(absolute);
  return parent === absolute ? absolute : join(realPath(parent), basename(absolute));
};

const holds = (folder: string, path: string): boolean => {
  const step = relative(folder, path);
  return step === '' || (!step.startsWith('..') && !isAbsolute(step));
};

/** Facts of a path; undefined where nothing is. A file in the middle of the path is an error. */
const factsOf = (folder: string, output: string): Stats | undefined => {
  try {
    return statSync(folder, { throwIfNoEntry: false });
  } catch (cause) {
    throw writeError(cause, output);
  }
};

/**
 * Refuses an output folder that would cost the user something: one that is or holds an input, that is a file, or that
 * holds files which are not an output of this program.
 * @param inputs files that are read while the output is made.
 * @throws unsafe, resource.
 */
export const checkOutputFolder = (output: string, inputs: readonly string[]): void => {
  const folder = realPath(output);
  const where = { file: output };
  const overwritten = inputs.find((input) => holds(folder, realPath(input)));
  if (overwritten !== undefined)
    throw new CompressError({
      code: 'unsafe',
      message: `the output would replace the folder that its input ${overwritten} lies in`,
      where,
      hint: 'Choose another output folder.',
    });
  const facts = factsOf(folder, output);
  if (!facts) return;
  if (!facts.isDirectory())
    throw new CompressError({
      code: 'resource',
      message: 'the output is a folder, and a file has that name',
      where,
      hint: 'Choose another output folder.',
    });
  const names = readdirSync(folder);
  if (names.length > 0 && !names.includes(manifestName))
    throw new CompressError({
      code: 'unsafe',
      message: `the folder holds ${names[0]}${names.length > 1 ? ' and other files' : ''}, and no ${manifestName}: it is no earlier output`,
      where,
      hint: 'Choose a new or empty folder.',
    });
};
