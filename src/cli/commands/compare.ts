import type { CommandModule } from '../command.ts';
import type { ComparisonPart } from '../comparison/section.ts';
import { collect } from '../option-values.ts';

/** Says how two models, or two runs, differ. */
export const compareCommand: CommandModule = {
  configure(command) {
    command
      .argument('<a>', 'the model or output folder to compare with')
      .argument('<b>', 'the model or output folder that is compared')
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
With data both models are measured on it, b against a. Output folders of two runs are compared without data, too: by
what the runs have measured, by their recipes and by the errors of their sites.

Examples:
  $ compress compare checkpoint out/w4 --data text:valid.txt,window=512
  $ compress compare model.onnx out/int8 --data images:photos --json
  $ compress compare out/w4-rtn out/w4-gptq`,
      );
  },

  async run(args, options, context) {
    const { comparisonSections } = await import('../comparison/table.ts');
    const { runsOf } = await import('../comparison/runs-of.ts');
    const { seedOf } = await import('../seed.ts');
    const [a = '', b = ''] = args;
    const request = {
      a,
      b,
      data: options.texts('data'),
      metrics: options.texts('metric'),
      seed: seedOf(options),
      runs: runsOf(a, b, context.io.directory),
    };
    const parts: (readonly [string, ComparisonPart])[] = [];
    for (const section of comparisonSections) {
      const part = await section.compare(request, context);
      if (part) parts.push([section.name, part]);
    }
    return {
      data: { a, b, ...Object.fromEntries(parts.map(([name, { data }]) => [name, data])) },
      text: (style) => parts.map(([, part]) => part.text(style)).join('\n\n'),
    };
  },
};
