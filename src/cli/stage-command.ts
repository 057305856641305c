import type { Command } from 'commander';
import type { CommandModule } from './command.ts';
import { addRecipeFlags, commonFlags, outputFlags, type RecipeFlag, recipeFromFlags } from './recipe-flags.ts';
import { addRunFlags, runAndReport } from './run-recipe.ts';

const anyModel = 'an .onnx file, or a folder with a checkpoint or an earlier output';

/** Flags of a command that runs one stage: its own, then those of every such command. */
export const stageFlags = (own: readonly RecipeFlag[]): readonly RecipeFlag[] => [
  ...own,
  ...outputFlags,
  ...commonFlags,
];

/** Adds a model, flags and how to run to a command; `help` stands after the list of flags. */
export const configureStage = (
  command: Command,
  flags: readonly RecipeFlag[],
  help: string,
  model: string = anyModel,
): void => {
  command.argument('<model>', model);
  addRecipeFlags(command, flags);
  addRunFlags(command);
  command.addHelpText('after', help);
};

/** A command that runs one stage without a recipe file; everything asked of it is a flag. */
export const stageCommand = (
  stage: string,
  own: readonly RecipeFlag[],
  help: string,
  model: string = anyModel,
): CommandModule => {
  const flags = stageFlags(own);
  return {
    configure: (command) => configureStage(command, flags, help, model),
    run: async (args, options, context) => {
      const start = { model: { path: args[0] }, stages: [{ [stage]: {} }] };
      const recipe = await recipeFromFlags(start, flags, options, context.io.directory);
      return runAndReport(recipe, options, context);
    },
  };
};
