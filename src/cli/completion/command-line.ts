import { Command, type Option } from 'commander';
import { type CommandCard, configureCommand } from '../command.ts';

/** A flag as a shell offers it. */
export interface FlagWords {
  readonly long: string | undefined;
  readonly short: string | undefined;
  readonly description: string;
  /** Words that can follow; 'path' where a file or folder does, undefined for a flag that stands alone. */
  readonly value: readonly string[] | 'path' | 'any' | undefined;
}

/** A command as a shell offers it. */
export interface CommandWords {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly FlagWords[];
  /** Words that can be its arguments; 'path' where they are files or folders. */
  readonly arguments: readonly string[] | 'path' | undefined;
}

const pathFlags = new Set([
  '--model',
  '--output',
  '--recipe',
  '--calibration',
  '--evaluation',
  '--data',
  '--reference',
  '--teacher',
  '--student',
]);

const flagWords = (option: Option, values: ReadonlyMap<string, readonly string[]>): FlagWords => {
  const name = option.long ?? option.short ?? '';
  const value = option.argChoices ?? values.get(name) ?? (pathFlags.has(name) ? 'path' : 'any');
  return {
    long: option.long,
    short: option.short,
    description: option.description,
    value: option.isBoolean() || option.negate ? undefined : value,
  };
};

/**
 * Every command with its flags, read from the commands themselves.
 * @param values what can follow a flag, by its long name, where the flag itself does not say it.
 */
export const describeCommandLine = async (
  cards: readonly CommandCard[],
  values: ReadonlyMap<string, readonly string[]>,
): Promise<CommandWords[]> => {
  const described: CommandWords[] = [];
  for (const { name, summary, load } of cards) {
    const command = new Command(name);
    configureCommand(command, await load());
    const [argument] = command.registeredArguments;
    described.push({
      name,
      summary,
      flags: [...command.options, command.createOption('-h, --help', 'show this help')].map((option) =>
        flagWords(option, values),
      ),
      arguments: argument && (argument.argChoices ?? 'path'),
    });
  }
  return described;
};
