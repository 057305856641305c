import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Override } from '../recipe/overrides.ts';
import type { OptionValues } from './option-values.ts';

/** Flags that put other paths into a recipe file. */
export const addPathFlags = (command: Command): void => {
  command
    .option('--model <path>', 'another model than the recipe names')
    .option('-o, --output <dir>', 'another folder for the result');
};

/** Paths of flags start where the command is run, not at the recipe. */
export const pathOverrides = (options: OptionValues, directory: string): Override[] =>
  (['model', 'output'] as const).flatMap((key): Override[] => {
    const path = options.text(key);
    return path === undefined ? [] : [{ path: [key], value: resolve(directory, path), flag: `--${key}` }];
  });
