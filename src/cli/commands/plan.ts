import { CompressError } from '../../errors.ts';
import type { CommandModule } from '../command.ts';
import type { OptionValues } from '../option-values.ts';
import { addPathFlags, pathOverrides } from '../path-flags.ts';
import { addRecipeFlags, commonFlags, flagOverrides } from '../recipe-flags.ts';

/** The device that experts are placed on, where flags name its memory. @throws usage error. */
const placementOf = async (options: OptionValues) => {
  const { parseBytes } = await import('../../recipe/quantity.ts');
  const bytesOf = (name: string, flag: string): number => {
    const text = options.text(name) ?? '';
    const bytes = parseBytes(text);
    if (bytes !== undefined && bytes > 0) return bytes;
    throw new CompressError({
      code: 'usage',
      message: `expected a size like 200MB, found ${JSON.stringify(text)}`,
      where: { flag },
    });
  };
  if (options.text('fastMemory') === undefined) return undefined;
  return {
    fastMemoryBytes: bytesOf('fastMemory', '--fast-memory'),
    transferBandwidth: bytesOf('transfer', '--transfer'),
    fastBandwidth: bytesOf('fastBandwidth', '--fast-bandwidth'),
  };
};

/** Says what a recipe would do. */
export const planCommand: CommandModule = {
  configure(command) {
    command.argument('<recipe>', 'a YAML recipe');
    addPathFlags(command);
    addRecipeFlags(command, commonFlags);
    command.option('--front', 'predict what budgets of an auto stage would lose: looks at the calibration data');
    command
      .option('--fast-memory <bytes>', 'plan which experts stay on a fast device with this memory, like 200MB')
      .option('--transfer <bytes>', 'bytes a second from slow memory to the fast device', '16GB')
      .option('--fast-bandwidth <bytes>', 'bytes a second within the fast device', '200GB');
    command.addHelpText(
      'after',
      `
Opens the model and the data, matches every site, predicts sizes and memory, and tells every problem at once
(exit code 2). No weight is read and nothing is written. With --front the first stage, where it is auto, collects its
curvature and shows what each budget would lose before anything is changed. With --fast-memory the calibration data are
followed through the routers of a mixture of experts: how evenly experts are used, which paths tokens take through the
layers, which experts to keep on the fast device, and the hits and the time a token to expect.

Examples:
  $ compress plan recipe.yaml
  $ compress plan recipe.yaml --set stages.0.quantize.weights.bits=3 --json
  $ compress plan recipe.yaml --front
  $ compress plan recipe.yaml --fast-memory 200MB --transfer 16GB`,
    );
  },

  async run(args, options, context) {
    const { planAndShow } = await import('../show-plan.ts');
    const { readRecipeFile } = await import('../../recipe/load.ts');
    const overrides = [...pathOverrides(options, context.io.directory), ...flagOverrides(commonFlags, options)];
    return planAndShow(readRecipeFile(args[0] ?? '', overrides), context, {
      front: options.flag('front'),
      placement: await placementOf(options),
    });
  },
};
