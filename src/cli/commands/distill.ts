import type { CommandModule } from '../command.ts';
import { addRecipeFlags, commonFlags, outputFlags, type RecipeFlag, recipeFromFlags } from '../recipe-flags.ts';
import { addRunFlags, runAndReport } from '../run-recipe.ts';

const stage = ['stages', 0, 'distill'] as const;

const distillFlags: readonly RecipeFlag[] = [
  {
    flags: '-T, --teacher <model>',
    description: 'model to learn from; give it again for several',
    key: [...stage, 'teacher'],
    reads: 'texts',
  },
  { flags: '-S, --student <model>', description: 'model to train', key: ['model', 'path'], reads: 'text' },
  {
    flags: '-d, --data <data>',
    description: 'data to train on; give it again for several',
    key: ['data', 'calibration'],
    reads: 'texts',
  },
  {
    flags: '--tokens <n>',
    description: 'tokens (images, samples) to train on',
    key: [...stage, 'tokens'],
    reads: 'yaml',
  },
  { flags: '--steps <n>', description: 'steps to train (default 300)', key: [...stage, 'steps'], reads: 'yaml' },
  { flags: '--batch <n>', description: 'samples of a step (default 8)', key: [...stage, 'batch'], reads: 'yaml' },
  {
    flags: '--learning-rate <rate>',
    description: 'greatest learning rate (default: by how far the student starts from its teacher)',
    key: [...stage, 'learning_rate'],
    reads: 'yaml',
  },
  {
    flags: '--optimizer <name>',
    description: 'adamw, muon or sign-sgd (default adamw)',
    key: [...stage, 'optimizer'],
    reads: 'text',
  },
  {
    flags: '--temperature <t>',
    description: 'softens both distributions (default 1)',
    key: [...stage, 'temperature'],
    reads: 'yaml',
  },
  {
    flags: '--adapters <rank>',
    description: 'train low-rank adapters of this rank, merged at the end',
    key: [...stage, 'adapters', 'rank'],
    reads: 'yaml',
  },
];

const flags = [...distillFlags, ...outputFlags, ...commonFlags];

/** One distill stage without a recipe file. */
export const distillCommand: CommandModule = {
  configure(command) {
    addRecipeFlags(command, flags);
    addRunFlags(command);
    command.addHelpText(
      'after',
      `
DATA is kind:path,key=value,… such as text:corpus.txt,window=512 or images:folder.

Examples:
  $ compress distill --teacher big --student small --output out/small --data text:corpus.txt,window=512 --tokens 1000000
  $ compress distill --teacher model --student model --set 'stages.0.distill.layers=[0,2,4]' --output out/three-layers \\
      --data text:corpus.txt --set stages.0.distill.losses.forward-kl=1 --set stages.0.distill.losses.hidden=1
  $ compress distill --teacher checkpoint --student out/w3 --output out/w3-healed --data text:corpus.txt --steps 300`,
    );
  },

  async run(_args, options, context) {
    const recipe = await recipeFromFlags({ stages: [{ distill: {} }] }, flags, options, context.io.directory);
    return runAndReport(recipe, options, context);
  },
};
