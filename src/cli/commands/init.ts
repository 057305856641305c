import { existsSync } from 'node:fs';
import { dirname, isAbsolute, relative, resolve } from 'node:path';
import { CompressError } from '../../errors.ts';
import type { CommandModule } from '../command.ts';

/** Writes a recipe to start from, fitted to a model. */
export const initCommand: CommandModule = {
  configure(command) {
    command
      .argument('<model>', 'the model that the recipe is for')
      .option('--recipe <file>', 'the file to write', 'recipe.yaml')
      .option('--calibration <data>', 'data that methods may look at')
      .option('--evaluation <data>', 'data to measure on')
      .addHelpText(
        'after',
        `
Nothing is overwritten. Without data, seeded random samples are filled in: enough to see that everything runs, not
to judge quality.

Examples:
  $ compress init checkpoint --calibration text:train.txt --evaluation text:valid.txt
  $ compress init cnn.onnx --recipe int8.yaml --calibration images:photos --evaluation images:photos`,
      );
  },

  async run(args, options, { io }) {
    const file = resolve(io.directory, options.text('recipe') ?? 'recipe.yaml');
    if (existsSync(file))
      throw new CompressError({
        code: 'usage',
        message: 'there is a file of that name already',
        where: { file: relative(io.directory, file) },
        hint: 'Choose another name with --recipe.',
      });
    const { openModel } = await import('../../artifact/open.ts');
    const { recipeText } = await import('../recipe-template.ts');
    const { writeWhole } = await import('../../recipe/store.ts');
    const path = resolve(io.directory, args[0] ?? '');
    const fromRecipe = (written: string): string => {
      const moved = relative(dirname(file), resolve(io.directory, written)) || '.';
      return isAbsolute(written) ? written : moved.replaceAll('\\', '/');
    };
    const model = await openModel(path);
    const text = recipeText(model, {
      model: fromRecipe(args[0] ?? ''),
      output: 'out/small',
      calibration: options.text('calibration'),
      evaluation: options.text('evaluation'),
      fromRecipe,
    });
    writeWhole(file, text);
    const shown = relative(io.directory, file);
    return {
      data: { recipe: file, text },
      text: () => `wrote ${shown}\n\nNext:\n  compress plan ${shown}\n  compress run ${shown}`,
    };
  },
};
