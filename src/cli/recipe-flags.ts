import type { Command } from 'commander';
import { parse } from 'yaml';
import { type Override, parseSet, withOverrides } from '../recipe/overrides.ts';
import type { Recipe } from '../recipe/recipe.ts';
import { builtRecipe, type KeyPath } from '../recipe/source.ts';
import { collect, type OptionValues } from './option-values.ts';

/** A flag that is a key of a recipe. */
export interface RecipeFlag {
  /** As commander reads it: `--group-size <n>`. */
  readonly flags: string;
  readonly description: string;
  readonly key: KeyPath;
  /** How its text becomes a value: as it is, as YAML, by being given, by not being given, or a list of texts. */
  readonly reads: 'text' | 'yaml' | 'given' | 'refused' | 'texts';
}

/** Flags of every command that runs a recipe. */
export const commonFlags: readonly RecipeFlag[] = [
  { flags: '--seed <n>', description: 'decides everything drawn at random (default 0)', key: ['seed'], reads: 'yaml' },
  {
    flags: '--max-memory <size>',
    description: 'memory for activations and statistics, like 2GiB',
    key: ['max_memory'],
    reads: 'text',
  },
  { flags: '--threads <n>', description: 'processor threads (default: all)', key: ['threads'], reads: 'yaml' },
  { flags: '--no-model-card', description: 'write no README.md', key: ['model_card'], reads: 'refused' },
  { flags: '--strict', description: 'a numeric fallback inside a stage is an error', key: ['strict'], reads: 'given' },
];

/** Flags of commands that make a recipe from a model and a few choices. */
export const outputFlags: readonly RecipeFlag[] = [
  { flags: '-o, --output <dir>', description: 'folder for the result', key: ['output'], reads: 'text' },
  {
    flags: '--to <format>',
    description: 'format to write; give it again for several (default onnx)',
    key: ['write'],
    reads: 'texts',
  },
  {
    flags: '--target <runtime>',
    description: 'where it is meant to run, like ort-web@1.22: other forms are replaced or refused',
    key: ['target'],
    reads: 'text',
  },
  {
    flags: '--layout <layout>',
    description: 'graph of a checkpoint: scoring or generation',
    key: ['model', 'layout'],
    reads: 'text',
  },
  {
    flags: '--opset <n>',
    description: 'ONNX operator set of a checkpoint’s graph',
    key: ['model', 'opset'],
    reads: 'yaml',
  },
  {
    flags: '--evaluation <data>',
    description: 'data to measure on before and after; give it again for several',
    key: ['data', 'evaluation'],
    reads: 'texts',
  },
  {
    flags: '--metric <name>',
    description: 'what to measure; give it again for several',
    key: ['metrics'],
    reads: 'texts',
  },
];

/** Adds recipe flags to a command, and `--set` for every other key. */
export const addRecipeFlags = (command: Command, flags: readonly RecipeFlag[]): void => {
  for (const { flags: text, description, reads } of flags)
    if (reads === 'texts') command.option(text, description, collect);
    else command.option(text, description);
  command.option('--set <key=value>', 'set any key of the recipe, like seed=1; give it again for several', collect);
};

/** `--group-size` of `-g, --group-size <n>`. */
const longName = (flag: RecipeFlag): string => /--[a-z-]+/.exec(flag.flags)?.[0] ?? flag.flags;

/** The name under which commander keeps a flag's value. */
const attributeOf = (flag: RecipeFlag): string =>
  longName(flag)
    .replace(/^--(no-)?/, '')
    .replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

const readFlag = (flag: RecipeFlag, raw: unknown): unknown => {
  if (flag.reads === 'given') return raw === true ? true : undefined;
  if (flag.reads === 'refused') return raw === false ? false : undefined;
  if (flag.reads === 'yaml' && typeof raw === 'string') return yamlOrText(raw);
  return raw;
};

/** Numbers and words of a flag; what is no YAML is the text itself, which the schema then judges. */
const yamlOrText = (text: string): unknown => (/^[\w.+-]+$/.test(text) ? parse(text, { logLevel: 'error' }) : text);

/** The values that flags put into a recipe, `--set` last. */
export const flagOverrides = (flags: readonly RecipeFlag[], options: OptionValues): Override[] => [
  ...flags.flatMap((flag): Override[] => {
    const value = readFlag(flag, options.raw(attributeOf(flag)));
    return value === undefined ? [] : [{ path: flag.key, value, flag: longName(flag) }];
  }),
  ...options.texts('set').map(parseSet),
];

/** The recipe of a command that takes a model and flags. Relative paths start at `directory`. */
export const recipeFromFlags = async (
  start: Readonly<Record<string, unknown>>,
  flags: readonly RecipeFlag[],
  options: OptionValues,
  directory: string,
): Promise<Recipe> => {
  const { loadRecipe } = await import('../recipe/load.ts');
  const named = new Map([
    ['model', 'MODEL'],
    ...flags.map((flag): [string, string] => [flag.key.join('.'), longName(flag)]),
  ]);
  return loadRecipe(withOverrides(builtRecipe(start, named), flagOverrides(flags, options)), directory);
};
