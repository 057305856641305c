import type { Command } from 'commander';
import { CompressError, exitCodes } from '../errors.ts';
import { nearest } from '../recipe/known-keys.ts';
import type { Recipe } from '../recipe/recipe.ts';
import { reporters } from '../reporters/index.ts';
import type { Reporter } from '../reporters/reporter.ts';
import { plainStyle } from '../reporters/style.ts';
import type { CommandContext, CommandResult } from './command.ts';
import type { OptionValues } from './option-values.ts';

const reporterNames = reporters.map((card) => card.name);

/** Flags of every command that runs stages. */
export const addRunFlags = (command: Command): void => {
  command
    .option('--fresh', 'begin anew: take nothing from the cache')
    .option('--resume', 'go on where a stopped run was (the default)')
    .option('--dry-run', 'only plan: say what would happen and what is wrong')
    .option('--reporter <name>', `how to show the run: ${reporterNames.join(', ')}`, 'plain');
};

/** Runs (or with --dry-run plans) a recipe under the chosen reporter. */
export const runAndReport = async (
  recipe: Recipe,
  options: OptionValues,
  context: CommandContext,
): Promise<CommandResult> => {
  if (options.flag('fresh') && options.flag('resume'))
    throw new CompressError({
      code: 'usage',
      message: '--fresh and --resume exclude each other',
      hint: 'Keep one of them.',
    });
  if (options.flag('dryRun')) return (await import('./show-plan.ts')).planAndShow(recipe, context);
  const { runRecipe } = await import('../recipe/run.ts');
  const reporter = openReporter(options.text('reporter') ?? 'plain', context);
  try {
    const report = await runRecipe(recipe, {
      fresh: options.flag('fresh'),
      signal: context.signal,
      listeners: [(event) => reporter.listener(event)],
    });
    return {
      data: report,
      text: () => '',
      exitCode: report.outcome === 'gate-failed' ? exitCodes.gate : exitCodes.done,
    };
  } finally {
    reporter.close();
  }
};

/** Under --json standard output is kept for the document: progress goes to the other stream, on a terminal only. */
const openReporter = (name: string, { io, json }: CommandContext): Reporter => {
  const card = reporters.find((candidate) => candidate.name === name);
  if (!card) {
    const near = nearest(name, reporterNames);
    throw new CompressError({
      code: 'usage',
      message: `there is no reporter '${name}'`,
      where: { flag: '--reporter' },
      hint: near ? `Did you mean '${near}'?` : `Reporters: ${reporterNames.join(', ')}.`,
    });
  }
  if (!json) return card.open(io.out);
  return card.open(io.err.live ? io.err : { write: () => {}, live: false, columns: 80, style: plainStyle });
};
