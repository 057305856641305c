import { existsSync } from 'node:fs';
import { dirname, isAbsolute, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CompressError } from '../../errors.ts';
import type { CommandModule } from '../command.ts';
import type { Answers } from '../init/questions.ts';

const schemaFile = fileURLToPath(new URL('../../../schemas/recipe.schema.json', import.meta.url));

/** Writes a recipe to start from, fitted to a model. */
export const initCommand: CommandModule = {
  configure(command) {
    command
      .argument('<model>', 'the model that the recipe is for')
      .option('--recipe <file>', 'the file to write', 'recipe.yaml')
      .option('--aim <name>', 'what is wanted: w4, web, int8, w8 or half (default: what suits the model)')
      .option('-o, --output <dir>', 'folder for the result (default out/small)')
      .option('--calibration <data>', 'data that methods may look at')
      .option('--evaluation <data>', 'data to measure on')
      .option('-y, --yes', 'ask nothing: take what was found beside the model')
      .addHelpText(
        'after',
        `
On a terminal it asks for what is not given; data beside the model and in the working directory are offered. Nothing
is overwritten. Where no data are found, seeded random samples are filled in: enough to see that everything runs, not
to judge quality.

Examples:
  $ compress init checkpoint
  $ compress init checkpoint --yes --aim web
  $ compress init checkpoint --calibration text:train.txt --evaluation text:valid.txt
  $ compress init cnn.onnx --recipe int8.yaml --calibration images:photos --evaluation images:photos`,
      );
  },

  async run(args, options, { io, json }) {
    const file = resolve(io.directory, options.text('recipe') ?? 'recipe.yaml');
    if (existsSync(file))
      throw new CompressError({
        code: 'usage',
        message: 'there is a file of that name already',
        where: { file: relative(io.directory, file) },
        hint: 'Choose another name with --recipe.',
      });
    const { openModel } = await import('../../artifact/open.ts');
    const { aimsFor, kindOf, recipeText } = await import('../init/template.ts');
    const { chooseData, fitSamples, lookAround } = await import('../init/look-around.ts');
    const { writeWhole } = await import('../../recipe/store.ts');
    const path = resolve(io.directory, args[0] ?? '');
    const model = await openModel(path);
    const kind = kindOf(model);
    const aims = aimsFor(kind);
    const wanted = options.text('aim');
    const aim = wanted === undefined ? aims[0] : aims.find(({ name }) => name === wanted);
    if (!aim)
      throw new CompressError({
        code: 'usage',
        message: `'${wanted}' is no aim for this kind of model (${kind})`,
        where: { flag: '--aim' },
        hint: `Aims: ${aims.map(({ name, label }) => `${name} (${label})`).join('; ')}.`,
      });
    const found = lookAround(kind, path, io.directory);
    const chosen = chooseData(found);
    const suit = async (text: string | undefined, samples: number): Promise<string | undefined> =>
      text === undefined ? undefined : fitSamples(text, samples, model, io.directory);
    const suggested: Answers = {
      aim,
      calibration: options.text('calibration') ?? (await suit(chosen.calibration, 64)),
      evaluation: options.text('evaluation') ?? (await suit(chosen.evaluation, 128)),
      output: options.text('output') ?? 'out/small',
    };
    const given = new Set((['aim', 'calibration', 'evaluation', 'output'] as const).filter((key) => options.text(key)));
    const terminal = json || options.flag('yes') ? undefined : io.out.terminal;
    const answers = terminal
      ? await (await import('../init/questions.ts')).askQuestions(terminal, aims, found, suggested, given)
      : suggested;
    const fromRecipe = (written: string): string => {
      const moved = relative(dirname(file), resolve(io.directory, written)) || '.';
      return isAbsolute(written) ? written : moved.replaceAll('\\', '/');
    };
    const text = recipeText({
      ...answers,
      model: fromRecipe(args[0] ?? ''),
      output: fromRecipe(answers.output),
      schema: existsSync(schemaFile) ? relative(dirname(file), schemaFile).replaceAll('\\', '/') : undefined,
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
