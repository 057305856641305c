import { CompressError } from '../../errors.ts';
import type { CommandModule } from '../command.ts';
import type { ComparisonPart } from '../comparison/section.ts';
import { collect, type OptionValues } from '../option-values.ts';

const ways = ['auto', 'measured', 'curvature', 'none'] as const;

/** How the divergence is to be followed back, as flags say it. @throws usage error. */
const attributionOf = (options: OptionValues) => {
  const refuse = (flag: string, expected: string): CompressError =>
    new CompressError({ code: 'usage', message: `expected ${expected}`, where: { flag } });
  const written = options.text('attribution') ?? 'auto';
  const by = ways.find((way) => way === written);
  if (by === undefined) throw refuse('--attribution', `${ways.join(', ')}, found ${JSON.stringify(written)}`);
  const counted = options.text('samples');
  const samples = counted === undefined ? undefined : Number(counted);
  if (samples !== undefined && (!Number.isInteger(samples) || samples < 1))
    throw refuse('--samples', 'a whole number of samples, like 8');
  const text = options.text('gain') ?? '';
  const gain = text.endsWith('%') ? Number(text.slice(0, -1)) / 100 : Number(text);
  if (!(gain > 0 && gain <= 1)) throw refuse('--gain', `a share of the divergence, like 50% or 0.5, found ${text}`);
  return by === 'none' ? undefined : { by, samples, gain };
};

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
      .option(
        '--attribution <how>',
        'follow the divergence back to weights: measured (each changed alone), curvature (predicted), auto (by the size of the model), none',
        'auto',
      )
      .option('--samples <n>', 'samples that the divergence is followed on (default: 8 windows of tokens, 128 others)')
      .option('--gain <share>', 'share of the divergence that weights in higher precision are to take away', '50%')
      .addHelpText(
        'after',
        `
With data both models are measured on it, b against a. Output folders of two runs are compared without data, too: by
what the runs have measured, by their recipes and by the errors of their sites.

Where b was made from a, its divergence is followed back: the error of every site's output along the graph, the share of
the divergence that each weight causes, and the fewest bytes of higher precision that take --gain of it away, as a recipe.

Examples:
  $ compress compare checkpoint out/w4 --data text:valid.txt,window=512
  $ compress compare model.onnx out/int8 --data images:photos --json
  $ compress compare checkpoint out/w3 --data text:valid.txt,window=512 --gain 30% --samples 16
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
      attribution: attributionOf(options),
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
