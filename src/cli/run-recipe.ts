import type { Command } from 'commander';
import { CompressError, exitCodes } from '../errors.ts';
import type { Recipe } from '../recipe/recipe.ts';
import type { CommandContext, CommandResult } from './command.ts';
import { openReporters, reporterNames } from './open-reporters.ts';
import { collect, type OptionValues } from './option-values.ts';

/** Flags of every command that runs stages. */
export const addRunFlags = (command: Command): void => {
  command
    .option('--fresh', 'begin anew: take nothing from the cache')
    .option('--resume', 'go on where a stopped run was (the default)')
    .option('--dry-run', 'only plan: say what would happen and what is wrong')
    .option(
      '--reporter <name>',
      `how to show the run: ${reporterNames.join(', ')}; NAME=PATH writes to a file; give it again for several (default: tui on a terminal, plain elsewhere)`,
      collect,
    );
};

/**
 * Runs (or with --dry-run plans) a recipe under the chosen reporters.
 * @param given the recipe, or what reads it: reporters are told what is wrong with it, too.
 */
export const runAndReport = async (
  given: Recipe | (() => Recipe),
  options: OptionValues,
  context: CommandContext,
): Promise<CommandResult> => {
  if (options.flag('fresh') && options.flag('resume'))
    throw new CompressError({
      code: 'usage',
      message: '--fresh and --resume exclude each other',
      hint: 'Keep one of them.',
    });
  const read = (): Recipe => (typeof given === 'function' ? given() : given);
  if (options.flag('dryRun')) return (await import('./show-plan.ts')).planAndShow(read(), context);
  const { runRecipe } = await import('../recipe/run.ts');
  const reporter = await openReporters(options.texts('reporter'), context, { steered: true });
  try {
    const report = await runRecipe(read(), {
      fresh: options.flag('fresh'),
      signal: context.signal,
      listeners: [(event) => reporter.listener(event)],
    });
    return {
      data: report,
      text: () => '',
      exitCode: report.outcome === 'gate-failed' ? exitCodes.gate : exitCodes.done,
    };
  } catch (error) {
    reporter.failed?.(error);
    throw error;
  } finally {
    await reporter.close();
  }
};
