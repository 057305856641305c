import { CompressError } from '../errors.ts';
import type { MetricResult } from '../recipe/events.ts';
import type { Recipe } from '../recipe/recipe.ts';
import type { RunReport } from '../report/schema.ts';
import { formatTable } from '../reporters/table.ts';
import type { CommandContext, CommandResult } from './command.ts';
import { openReporters } from './open-reporters.ts';
import type { OptionValues } from './option-values.ts';

/** One model of several cut from the same order: what it measures. */
export interface EmittedSize {
  /** Share of the measure that is left. */
  readonly size: number;
  readonly output: string;
  readonly bytes: number;
  readonly metrics: readonly MetricResult[];
  /** No other size is at least as small and at least as good in the first metric. */
  readonly onFront: boolean;
}

/** `0.25,0.5,0.75` as numbers. @throws 'usage' for anything else. */
export const parseSizes = (text: string): number[] => {
  const sizes = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (sizes.every((size) => size > 0 && size < 1)) return [...new Set(sizes)].sort((a, b) => b - a);
  throw new CompressError({
    code: 'usage',
    message: `expected shares between 0 and 1 separated by commas, found ${JSON.stringify(text)}`,
    where: { flag: '--emit' },
    hint: 'Give what is to be left of the model, such as --emit 0.75,0.5,0.25.',
  });
};

const isWorse = (a: MetricResult, b: MetricResult): boolean =>
  a.better === 'higher' ? a.value < b.value : a.value > b.value;

/** Sizes that no smaller one equals or beats in the first metric. */
export const paretoFront = (sizes: readonly Omit<EmittedSize, 'onFront'>[]): EmittedSize[] =>
  sizes.map((one) => {
    const [own] = one.metrics;
    const beaten = sizes.some(
      (other) => other !== one && other.bytes < one.bytes && own && other.metrics[0] && !isWorse(other.metrics[0], own),
    );
    return { ...one, onFront: !beaten };
  });

const measuredAfter = ({ metrics }: RunReport): MetricResult[] => {
  const format = metrics.after[0]?.format;
  return metrics.after.filter((entry) => entry.format === format).map(({ result }) => result as MetricResult);
};

/**
 * Runs a recipe once for each size, into folders of their own: statistics are collected once and kept, so every size is
 * cut from the same order without looking at the data again. @param recipeOf the recipe for a size and an output folder.
 */
export const emitSizes = async (
  sizes: readonly number[],
  recipeOf: (size: number, folder: string) => Promise<Recipe>,
  options: OptionValues,
  context: CommandContext,
): Promise<CommandResult> => {
  const { runRecipe } = await import('../recipe/run.ts');
  const found: Omit<EmittedSize, 'onFront'>[] = [];
  for (const size of sizes) {
    const reporter = await openReporters(options.texts('reporter'), context, { steered: true });
    try {
      const recipe = await recipeOf(size, `size-${size}`);
      const report = await runRecipe(recipe, {
        fresh: options.flag('fresh'),
        signal: context.signal,
        listeners: [(event) => reporter.listener(event)],
      });
      const bytes = report.artifacts[0]?.bytes ?? 0;
      found.push({ size, output: recipe.output, bytes, metrics: measuredAfter(report) });
    } catch (error) {
      reporter.failed?.(error);
      throw error;
    } finally {
      await reporter.close();
    }
  }
  const front = paretoFront(found);
  const names = [...new Set(front.flatMap(({ metrics }) => metrics.map(({ metric }) => metric)))];
  const rows = front.map(({ size, output, bytes, metrics, onFront }) => [
    `${(100 * size).toFixed(0)} %`,
    String(bytes),
    ...names.map((name) => metrics.find(({ metric }) => metric === name)?.value.toPrecision(5) ?? ''),
    onFront ? 'yes' : 'no',
    output,
  ]);
  const columns = [
    { title: 'left', align: 'right' as const },
    { title: 'bytes', align: 'right' as const },
    ...names.map((title) => ({ title, align: 'right' as const })),
    { title: 'on the front' },
    { title: 'folder' },
  ];
  return { data: { sizes: front }, text: (style) => formatTable(columns, rows, style) };
};
