import type { Style } from '../../reporters/style.ts';
import type { ReportedSite, SensitivityReport } from '../../stages/sensitivity/report.ts';
import type { CommandModule } from '../command.ts';
import { withProgress } from '../live-progress.ts';
import { addRecipeFlags, commonFlags, type RecipeFlag, recipeFromFlags } from '../recipe-flags.ts';

const stage = ['stages', 0, 'sensitivity'] as const;

const flags: readonly RecipeFlag[] = [
  {
    flags: '-c, --calibration <data>',
    description: 'data that losses are found on; give it again for several',
    key: ['data', 'calibration'],
    reads: 'texts',
  },
  {
    flags: '-g, --group-size <n>',
    description: 'inputs that share a scale, or row (default 32)',
    key: [...stage, 'group_size'],
    reads: 'yaml',
  },
  {
    flags: '--rounding <method>',
    description: 'gptq (default) or rtn: how weights are rounded to learn what they lose',
    key: [...stage, 'rounding'],
    reads: 'text',
  },
  {
    flags: '--average-bits <n>',
    description: 'choose widths: mean bits of a weight',
    key: [...stage, 'budget', 'average_bits'],
    reads: 'yaml',
  },
  {
    flags: '--size <share>',
    description: 'choose widths: share of the bytes now',
    key: [...stage, 'budget', 'size'],
    reads: 'yaml',
  },
  {
    flags: '--operations <share>',
    description: 'choose widths: share of multiplications times bits, against 16 bits',
    key: [...stage, 'budget', 'operations'],
    reads: 'yaml',
  },
  {
    flags: '--max-kl <nats>',
    description: 'choose widths: the smallest model with at most this predicted divergence',
    key: [...stage, 'budget', 'max_kl'],
    reads: 'yaml',
  },
  {
    flags: '--tie <sites>',
    description: 'inputs, block or residual: sites that get the same format; give it again for several',
    key: [...stage, 'ties'],
    reads: 'texts',
  },
  {
    flags: '--predictor <name>',
    description: 'a sensitivity to report; give it again for several',
    key: [...stage, 'predictors'],
    reads: 'texts',
  },
  {
    flags: '--verify',
    description: 'measure what rounding each weight alone does, and how well predictors order them',
    key: [...stage, 'verify'],
    reads: 'given',
  },
  {
    flags: '--targets <pattern>',
    description: 'sites to look at; give it again for several (default all)',
    key: [...stage, 'targets'],
    reads: 'texts',
  },
  {
    flags: '--ignore <pattern>',
    description: 'sites to leave; give it again for several',
    key: [...stage, 'ignore'],
    reads: 'texts',
  },
  ...commonFlags,
];

/** Two or three figures, whatever the size. */
const short = (value: number): string => (value === 0 ? '0' : value.toPrecision(3));

const siteRow = ({ site, role, options, chosen }: ReportedSite): string[] => [
  site,
  role ?? '',
  ...options.map(({ loss, measured }) =>
    measured === undefined ? short(loss) : `${short(loss)} (${short(measured)})`,
  ),
  chosen ?? '',
];

const summaryLines = ({ uniform, correlations, sums, allocation, findings }: SensitivityReport): string[] => [
  ...uniform.map(
    ({ format, bytes, loss }) => `everywhere ${format}: predicted loss ${short(loss)} nats, ${bytes} bytes of weights`,
  ),
  ...(sums
    ? [`${sums.format}, each alone: ${short(sums.predicted)} nats predicted in all, ${short(sums.measured)} measured`]
    : []),
  ...correlations.map(
    ({ predictor, correlation, sites }) =>
      `rank correlation of ${predictor} with what was measured: ${correlation.toFixed(3)} over ${sites} weights`,
  ),
  ...(allocation
    ? [
        `chosen: ${allocation.average_bits.toFixed(2)} bits a weight, predicted loss ${short(allocation.loss)} nats, ${allocation.bytes} bytes of weights`,
        ...(allocation.measured
          ? [
              `measured, all weights rounded: ${short(allocation.measured.before)} nats, ${short(allocation.measured.after)} after ${allocation.measured.taken} of ${allocation.measured.tried} exchanges`,
            ]
          : []),
      ]
    : []),
  ...findings
    .filter(({ kind }) => kind !== 'fact')
    .map(({ site, text }) => `note: ${site === undefined ? '' : `${site}: `}${text}`),
];

/** Finds out what fewer bits lose at every weight, and chooses widths. */
export const sensitivityCommand: CommandModule = {
  configure(command) {
    command.argument('<model>', 'an .onnx file, or a folder with a checkpoint or an earlier output');
    addRecipeFlags(command, flags);
    command
      .option('-o, --output <dir>', 'folder for the report: sensitivity.json, losses.csv, front.csv, recipe.yaml')
      .addHelpText(
        'after',
        `
Losses are in nats for each token (image, box); what is measured stands in brackets. The model is not changed: give
the widths to quantize by the recipe that is printed, or put the stage itself before quantize (weights: { bits: auto }).

Examples:
  $ compress sensitivity checkpoint --calibration text:corpus.txt,window=512,samples=64
  $ compress sensitivity model.onnx --calibration images:photos --verify --average-bits 3.5
  $ compress sensitivity checkpoint --calibration text:corpus.txt --size 0.15 --tie inputs --output out/widths`,
      );
  },

  async run(args, options, context) {
    const { analyseSensitivity, writeSensitivity } = await import('../../recipe/sensitivity.ts');
    const { formatTable } = await import('../../reporters/table.ts');
    const { resolve } = await import('node:path');
    const { directory } = context.io;
    const start = { model: { path: args[0] }, output: '.compress/sensitivity', stages: [{ sensitivity: {} }] };
    const recipe = await recipeFromFlags(start, flags, options, directory);
    const report = await withProgress(context, (emit) => analyseSensitivity({ recipe, emit, signal: context.signal }));
    const output = options.text('output');
    const written =
      output === undefined
        ? []
        : writeSensitivity(report, resolve(directory, output), resolve(directory, args[0] ?? ''));
    return {
      data: { model: args[0], ...report, ...(written.length > 0 ? { files: written } : {}) },
      text: (style: Style) => {
        const formats =
          report.sites[0]?.options.map(({ format }) => ({ title: format, align: 'right' as const })) ?? [];
        const table = formatTable(
          [{ title: 'site' }, { title: 'role' }, ...formats, { title: report.allocation ? 'chosen' : '' }],
          report.sites.map(siteRow),
          style,
        );
        const recipeLines = report.recipe === undefined ? [] : ['', report.recipe.trimEnd()];
        return [table, '', ...summaryLines(report), ...recipeLines, ...written.map((path) => `wrote ${path}`)].join(
          '\n',
        );
      },
    };
  },
};
