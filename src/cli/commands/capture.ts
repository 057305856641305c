import { CompressError } from '../../errors.ts';
import type { CommandModule } from '../command.ts';
import { withProgress } from '../live-progress.ts';
import { collect, type OptionValues } from '../option-values.ts';

/** The number that a flag gives. @throws usage error below `least`. */
const numberOf = (options: OptionValues, name: string, usual: number, least: number): number => {
  const text = options.text(name) ?? String(usual);
  const number = Number(text);
  if (text !== '' && Number.isFinite(number) && number >= least) return number;
  throw new CompressError({
    code: 'usage',
    message: `expected a number of at least ${least}, found ${JSON.stringify(text)}`,
    where: { flag: `--${name}` },
  });
};

/** Stores a teacher's scores. */
export const captureCommand: CommandModule = {
  configure(command) {
    command
      .argument('<model>', 'the teacher: an .onnx file, or a folder with a checkpoint or an earlier output')
      .option('-d, --data <data>', 'data that students will be trained on; give it again for several', collect)
      .option('-o, --output <dir>', 'folder for what is captured')
      .option('--top <n>', 'greatest chances kept of each row; the others as one sum', '64')
      .option('--temperature <t>', 'softens the chances; training must use the same', '1')
      .option('--seed <n>', 'seed of data drawn at random', '0')
      .addHelpText(
        'after',
        `
DATA is kind:path,key=value,… such as text:corpus.txt,window=512. A capture that was stopped goes on where it was.

Examples:
  $ compress capture teacher --data text:corpus.txt,window=512 --output out/captured
  $ compress distill --teacher out/captured --student small --output out/small --data text:corpus.txt,window=512`,
      );
  },

  async run(args, options, context) {
    const { captureModel } = await import('../../recipe/capture-model.ts');
    const { formatBytes } = await import('../../recipe/quantity.ts');
    const { seedOf } = await import('../seed.ts');
    const output = options.text('output');
    if (output === undefined)
      throw new CompressError({
        code: 'usage',
        message: 'it is not said where to write',
        where: { flag: '--output' },
        hint: 'Add --output FOLDER.',
      });
    const facts = await withProgress(context, (emit) =>
      captureModel({
        model: args[0] ?? '',
        data: options.texts('data'),
        output,
        top: Math.floor(numberOf(options, 'top', 64, 1)),
        temperature: numberOf(options, 'temperature', 1, 1e-3),
        seed: seedOf(options),
        directory: context.io.directory,
        signal: context.signal,
        emit,
      }),
    );
    const bytes = (facts.shards ?? []).reduce((sum, shard) => sum + shard.bytes, 0);
    const { shards: _, ...told } = facts;
    return {
      data: { output, bytes, ...told },
      text: (style) =>
        `${style.bold(output)}: the ${facts.kept} greatest of ${facts.classes} chances and the rest, ${facts.samples} samples, ${formatBytes(bytes)}`,
    };
  },
};
