import type { CommandModule } from '../command.ts';
import { withProgress } from '../live-progress.ts';
import { collect } from '../option-values.ts';

/** Measures how far one model is from another on data. */
export const compareCommand: CommandModule = {
  configure(command) {
    command
      .argument('<a>', 'the model to compare with')
      .argument('<b>', 'the model that is compared')
      .option('-d, --data <data>', 'data to compare on; give it again for several', collect)
      .option(
        '--metric <name>',
        'what to measure; give it again for several (default: what suits model and data)',
        collect,
      )
      .option('--seed <n>', 'seed of data drawn at random', '0')
      .addHelpText(
        'after',
        `
Examples:
  $ compress compare checkpoint out/w4 --data text:valid.txt,window=512
  $ compress compare model.onnx out/int8 --data images:photos --json`,
      );
  },

  async run(args, options, context) {
    const { evaluateModel } = await import('../../recipe/evaluate-model.ts');
    const { measuredAlone } = await import('../../recipe/choose-metrics.ts');
    const { seedOf } = await import('../seed.ts');
    const { formatMetricTable } = await import('../../reporters/summary.ts');
    const [a = '', b = ''] = args;
    const names = options.texts('metric');
    const shared = {
      data: options.texts('data'),
      seed: seedOf(options),
      directory: context.io.directory,
      signal: context.signal,
    };
    const { before, after } = await withProgress(context, async (emit) => ({
      after: await evaluateModel({
        ...shared,
        ...(names.length > 0 ? { metrics: names } : {}),
        model: b,
        reference: a,
        emit,
      }),
      before: await evaluateModel({
        ...shared,
        ...(names.length > 0 ? { metrics: measuredAlone(names) } : {}),
        model: a,
        emit,
      }),
    }));
    return {
      data: { a, b, metrics: { a: before, b: after } },
      text: (style) =>
        formatMetricTable({ before, after: after.map((result) => ({ format: '', result })) }, style, {
          before: a,
          after: b,
        }),
    };
  },
};
