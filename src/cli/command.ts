import type { Command } from 'commander';
import type { ExitCode } from '../errors.ts';
import type { Style } from '../reporters/style.ts';
import type { Io } from './io.ts';
import type { OptionValues } from './option-values.ts';

/** What a command answers: facts for machines (`--json`), words for people. */
export interface CommandResult {
  /** One JSON document. */
  readonly data: unknown;
  text(style: Style): string;
  /** 0 where left out. */
  readonly exitCode?: ExitCode;
}

export interface CommandContext {
  readonly io: Io;
  /** The caller wants one JSON document on standard output and nothing else there. */
  readonly json: boolean;
  /** Fires when the user asks to stop. */
  readonly signal: AbortSignal;
}

/** One command: its arguments and flags, and what it does. */
export interface CommandModule {
  configure(command: Command): void;
  run(args: readonly string[], options: OptionValues, context: CommandContext): Promise<CommandResult>;
}

/** A line of the command table; the module behind it is loaded only when the command is named. */
export interface CommandCard {
  readonly name: string;
  readonly summary: string;
  load(): Promise<CommandModule>;
}

/** A command's own arguments and flags, and those that every command has. */
export const configureCommand = (command: Command, module: CommandModule): void => {
  module.configure(command);
  command
    .option('--json', 'one JSON document on standard output, nothing else there')
    .option('--debug', 'show the stack of errors');
};
