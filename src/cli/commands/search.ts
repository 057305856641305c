import { writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { CompressError } from '../../errors.ts';
import type { SearchPoint, SearchReport } from '../../recipe/search.ts';
import { printable, type Style } from '../../reporters/style.ts';
import { formatTable } from '../../reporters/table.ts';
import type { CommandContext, CommandModule } from '../command.ts';
import { withProgress } from '../live-progress.ts';
import { collect } from '../option-values.ts';
import { addRecipeFlags, commonFlags, flagOverrides } from '../recipe-flags.ts';

const shown = (value: number | undefined): string =>
  value === undefined ? '' : Math.abs(value) >= 1000 ? String(Math.round(value)) : value.toPrecision(4);

const stateOf = (point: SearchPoint, best: number | undefined): string => {
  if (point.obstacle !== undefined) return point.obstacle;
  return [
    point.number === best ? 'best' : '',
    point.onFront ? 'front' : '',
    point.withinLimits ? '' : 'beyond the limits',
  ]
    .filter((word) => word)
    .join(', ');
};

const textOf = (report: SearchReport, directory: string, style: Style): string => {
  const { cost, quality, points, best } = report;
  const table = formatTable(
    [
      { title: 'point', align: 'right' },
      { title: 'settings' },
      { title: cost, align: 'right' },
      { title: quality, align: 'right' },
      { title: '' },
    ],
    [...points]
      .sort((a, b) => (a.metrics[cost] ?? Number.POSITIVE_INFINITY) - (b.metrics[cost] ?? Number.POSITIVE_INFINITY))
      .map((point) => [
        String(point.number),
        printable(point.settings.join(' ')),
        shown(point.metrics[cost]),
        shown(point.metrics[quality]),
        printable(stateOf(point, best)),
      ]),
    style,
  );
  const chosen = points.find(({ number }) => number === best);
  const last = chosen
    ? `Best within the limits: point ${best}, in ${printable(relative(directory, chosen.output) || '.')}. \`--set\` with its settings makes the same recipe again.`
    : 'No point is within the limits.';
  return `${table}\n\n${last}`;
};

/** Several recipes that differ in a few keys, and the front of what they reach. */
export const searchCommand: CommandModule = {
  configure(command) {
    command.argument('<recipe>', 'a YAML recipe to start from, with evaluation data');
    command
      .option(
        '--vary <key=list>',
        'a key of the recipe and its values as a YAML list; give it again for several',
        collect,
      )
      .option(
        '--limit <metric=value>',
        'what a result may come to, like size=500000; give it again for several',
        collect,
      )
      .option('--cost <metric>', 'cost that the front is drawn in (default size)', 'size')
      .option('--quality <metric>', 'quality that the front is drawn in (default kl, perplexity or accuracy)')
      .option('-o, --output <dir>', 'folder for the results of all points (default: search, beside the recipe)');
    addRecipeFlags(command, commonFlags);
    command.addHelpText(
      'after',
      `
Every combination of the values is run; what they have in common is computed once. Whole chains are a value, too.

Examples:
  $ compress search recipe.yaml --vary "stages.0.auto.size=[0.1, 0.2, 0.3]" --limit kl=0.1
  $ compress search recipe.yaml --vary "stages.0.slice.ratio=[0.1, 0.2]" --vary "stages.1.quantize.weights.bits=[4, 8]"
  $ compress search recipe.yaml --vary "stages=[[{factorize: {ratio: 0.2}}], [{slice: {ratio: 0.2}}, {quantize: {}}]]"`,
    );
  },

  async run(args, options, context: CommandContext) {
    const { parseSearchLimit, parseVariation, searchRecipes } = await import('../../recipe/search.ts');
    const { readRecipeFile } = await import('../../recipe/load.ts');
    const file = args[0] ?? '';
    const variations = options.texts('vary').map(parseVariation);
    if (variations.length === 0)
      throw new CompressError({
        code: 'usage',
        message: 'a search needs something to vary',
        where: { flag: '--vary' },
        hint: 'Name a key and its values: --vary "stages.0.auto.size=[0.1, 0.2, 0.3]"',
      });
    const { directory } = context.io;
    const output = resolve(directory, options.text('output') ?? join(file, '..', 'search'));
    const fixed = flagOverrides(commonFlags, options);
    const report = await withProgress(context, (emit) =>
      searchRecipes({
        read: (overrides) => readRecipeFile(file, [...fixed, ...overrides]),
        variations,
        output,
        limits: options.texts('limit').map(parseSearchLimit),
        cost: options.text('cost') ?? 'size',
        quality: options.text('quality'),
        signal: context.signal,
        listeners: [(event) => (event.type === 'progress' ? emit(event) : undefined)],
        onPoint: ({ number, settings }, total) =>
          emit({ type: 'progress', task: 'search', done: number, total, unit: 'points', item: settings.join(' ') }),
      }),
    );
    writeFileSync(join(output, 'search.json'), `${JSON.stringify(report, null, 2)}\n`);
    return { data: report, text: (style) => textOf(report, directory, style) };
  },
};
