import type { CommandModule } from '../command.ts';
import { withProgress } from '../live-progress.ts';
import { collect } from '../option-values.ts';

/** Measures a model on data. */
export const evalCommand: CommandModule = {
  configure(command) {
    command
      .argument('<model>', 'an .onnx file, or a folder with a checkpoint or an earlier output')
      .option('-d, --data <data>', 'data to measure on; give it again for several', collect)
      .option(
        '--metric <name>',
        'what to measure; give it again for several (default: what suits model and data)',
        collect,
      )
      .option('--reference <model>', 'a model to compare with')
      .option('--seed <n>', 'seed of data drawn at random', '0')
      .addHelpText(
        'after',
        `
DATA is kind:path,key=value,… such as text:corpus.txt,window=512 or images:folder,labels=labels.csv.

Examples:
  $ compress eval out/w4 --data tokens:valid.u16,bos=1,split=1,window=512
  $ compress eval out/int8 --data images:photos,labels=labels.csv --metric accuracy --metric latency
  $ compress eval out/w4 --reference checkpoint --data text:valid.txt --json`,
      );
  },

  async run(args, options, context) {
    const { evaluateModel } = await import('../../recipe/evaluate-model.ts');
    const { seedOf } = await import('../seed.ts');
    const { formatResult } = await import('../../report/numbers.ts');
    const { formatTable } = await import('../../reporters/table.ts');
    const reference = options.text('reference');
    const names = options.texts('metric');
    const results = await withProgress(context, (emit) =>
      evaluateModel({
        model: args[0] ?? '',
        ...(reference === undefined ? {} : { reference }),
        data: options.texts('data'),
        ...(names.length > 0 ? { metrics: names } : {}),
        seed: seedOf(options),
        directory: context.io.directory,
        signal: context.signal,
        emit,
      }),
    );
    return {
      data: { model: args[0], ...(reference === undefined ? {} : { reference }), metrics: results },
      text: (style) =>
        formatTable(
          [
            { title: 'metric' },
            { title: 'data' },
            { title: 'value', align: 'right' },
            { title: 'over', align: 'right' },
          ],
          results.map((result) => [
            result.metric,
            result.dataset,
            style.bold(formatResult(result)),
            String(result.count),
          ]),
          style,
        ),
    };
  },
};
