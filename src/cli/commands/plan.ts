import type { CommandModule } from '../command.ts';
import { addPathFlags, pathOverrides } from '../path-flags.ts';
import { addRecipeFlags, commonFlags, flagOverrides } from '../recipe-flags.ts';

/** Says what a recipe would do. */
export const planCommand: CommandModule = {
  configure(command) {
    command.argument('<recipe>', 'a YAML recipe');
    addPathFlags(command);
    addRecipeFlags(command, commonFlags);
    command.option('--front', 'predict what budgets of an auto stage would lose: looks at the calibration data');
    command.addHelpText(
      'after',
      `
Opens the model and the data, matches every site, predicts sizes and memory, and tells every problem at once
(exit code 2). No weight is read and nothing is written. With --front the first stage, where it is auto, collects its
curvature and shows what each budget would lose before anything is changed.

Examples:
  $ compress plan recipe.yaml
  $ compress plan recipe.yaml --set stages.0.quantize.weights.bits=3 --json
  $ compress plan recipe.yaml --front`,
    );
  },

  async run(args, options, context) {
    const { planAndShow } = await import('../show-plan.ts');
    const { readRecipeFile } = await import('../../recipe/load.ts');
    const overrides = [...pathOverrides(options, context.io.directory), ...flagOverrides(commonFlags, options)];
    return planAndShow(readRecipeFile(args[0] ?? '', overrides), context, { front: options.flag('front') });
  },
};
