import { join } from 'node:path';
import type { Recipe } from '../../recipe/recipe.ts';
import type { CommandModule } from '../command.ts';
import { type RecipeFlag, recipeFromFlags } from '../recipe-flags.ts';
import { runAndReport } from '../run-recipe.ts';
import { configureStage, stageFlags } from '../stage-command.ts';

const stage = ['stages', 0, 'slice'] as const;

const sliceFlags: readonly RecipeFlag[] = [
  {
    flags: '-r, --ratio <share>',
    description: 'share of block parameters that goes, such as 0.25',
    key: [...stage, 'ratio'],
    reads: 'yaml',
  },
  {
    flags: '--operations <share>',
    description: 'share of operations that goes, instead of --ratio',
    key: [...stage, 'ratio', 'operations'],
    reads: 'yaml',
  },
  {
    flags: '--latency <share>',
    description: 'share of the time of a run on this machine that goes, instead of --ratio',
    key: [...stage, 'ratio', 'latency'],
    reads: 'yaml',
  },
  {
    flags: '-m, --method <name>',
    description:
      'obs, fisher, taylor, flap, leverage, wanda, magnitude, slicegpt, modegpt, blocks-loss or blocks-influence (default obs)',
    key: [...stage, 'method'],
    reads: 'text',
  },
  {
    flags: '-c, --calibration <data>',
    description: 'data that methods look at; give it again for several',
    key: ['data', 'calibration'],
    reads: 'texts',
  },
  {
    flags: '--kinds <kind>',
    description: 'what may go: heads, neurons, channels, stream or states; give it again for several',
    key: [...stage, 'kinds'],
    reads: 'texts',
  },
  {
    flags: '--multiple <n>',
    description: 'what stays of a group is a multiple of this (default 1)',
    key: [...stage, 'multiple'],
    reads: 'yaml',
  },
  {
    flags: '--steps <n>',
    description: 'removals in so many steps (default: one per 15 %)',
    key: [...stage, 'steps'],
    reads: 'yaml',
  },
  {
    flags: '--no-whole-branches',
    description: 'every branch keeps a channel',
    key: [...stage, 'whole_branches'],
    reads: 'refused',
  },
  {
    flags: '--no-refit',
    description: 'leave what writes to residual streams uncorrected',
    key: [...stage, 'refit'],
    reads: 'refused',
  },
  {
    flags: '--targets <pattern>',
    description: 'sites whose channels may go; give it again for several (default all)',
    key: [...stage, 'targets'],
    reads: 'texts',
  },
  {
    flags: '--ignore <pattern>',
    description: 'sites whose channels stay; give it again for several',
    key: [...stage, 'ignore'],
    reads: 'texts',
  },
];

const flags = stageFlags(sliceFlags);

/** One slice stage without a recipe file. */
export const sliceCommand: CommandModule = {
  configure(command) {
    configureStage(
      command,
      flags,
      `
DATA is kind:path,key=value,… such as text:corpus.txt,window=512,samples=64 or images:folder,labels=labels.csv.
What can be removed from a model, and why the rest cannot: compress inspect MODEL --groups

Examples:
  $ compress slice checkpoint --output out/small --ratio 0.25 --calibration text:corpus.txt,window=512,samples=64
  $ compress slice cnn.onnx --output out/fast --operations 0.5 --multiple 8 --calibration images:photos
  $ compress slice model.onnx --output out/plain --ratio 0.1 --method magnitude
  $ compress slice checkpoint --output out/sizes --emit 0.75,0.5,0.25 --calibration text:corpus.txt,window=512 \\
      --evaluation text:held-out.txt,window=512 --metric perplexity --metric latency`,
    );
    command.option(
      '--emit <sizes>',
      'several models from one order: shares of the model that are left, such as 0.75,0.5,0.25, each in a folder of its own',
    );
  },

  async run(args, options, context) {
    const start = (slice: object): Record<string, unknown> => ({ model: { path: args[0] }, stages: [{ slice }] });
    const emit = options.text('emit');
    if (emit === undefined) {
      const recipe = await recipeFromFlags(start({}), flags, options, context.io.directory);
      return runAndReport(recipe, options, context);
    }
    const { emitSizes, parseSizes } = await import('../emit-sizes.ts');
    const output = options.text('output');
    const own = flags.filter(({ key }) => key.join() !== 'output');
    const recipeOf = (size: number, folder: string): Promise<Recipe> => {
      const recipe = start({ ratio: 1 - size, allocation: 'nested', refit: false });
      const placed = output === undefined ? recipe : { ...recipe, output: join(output, folder) };
      return recipeFromFlags(placed, own, options, context.io.directory);
    };
    return emitSizes(parseSizes(emit), recipeOf, options, context);
  },
};
