import type { CommandModule } from '../command.ts';
import { addPathFlags, pathOverrides } from '../path-flags.ts';
import { addRecipeFlags, commonFlags, flagOverrides } from '../recipe-flags.ts';
import { addRunFlags, runAndReport } from '../run-recipe.ts';

/** The main command: a recipe from the model to the verified result. */
export const runCommand: CommandModule = {
  configure(command) {
    command.argument('<recipe>', 'a YAML recipe; `compress init` writes one to start from');
    addPathFlags(command);
    addRecipeFlags(command, commonFlags);
    addRunFlags(command);
    command.addHelpText(
      'after',
      `
The output folder appears, or is replaced, only when everything is written and measured. It holds the model files,
README.md, manifest.json, report.json, report.html and events.ndjson. A run that was stopped goes on where it was.

Examples:
  $ compress run recipes/quickstart-language.yaml
  $ compress run recipe.yaml --set stages.0.quantize.weights.bits=3 --output out/w3
  $ compress run recipe.yaml --reporter plain --reporter junit=results.xml
  $ compress run recipe.yaml --json > report.json`,
    );
  },

  async run(args, options, context) {
    const { readRecipeFile } = await import('../../recipe/load.ts');
    const overrides = [...pathOverrides(options, context.io.directory), ...flagOverrides(commonFlags, options)];
    return runAndReport(() => readRecipeFile(args[0] ?? '', overrides), options, context);
  },
};
