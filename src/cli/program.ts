import { Command, CommanderError } from 'commander';
import { CompressError, type ExitCode, exitCodeOf, exitCodes } from '../errors.ts';
import { nearest } from '../recipe/known-keys.ts';
import { toolVersion } from '../recipe/version.ts';
import { type CommandModule, configureCommand } from './command.ts';
import { commands } from './commands/index.ts';
import { interruptible } from './interrupt.ts';
import type { Io } from './io.ts';
import { OptionValues } from './option-values.ts';
import { errorData, showError } from './show-error.ts';

const epilogue = `
Exit codes: 0 done, 1 a bug of ours, 2 something to correct, 3 a quality gate failed, 130 interrupted (work is kept).

Examples:
  $ compress run recipes/quickstart-language.yaml
  $ compress quantize model.onnx --output out/small --bits 4 --group-size 32
  $ compress inspect out/small
  $ compress help run`;

/** Runs the command line and answers the exit code; everything that is thrown is shown here. */
export const runProgram = async (args: readonly string[], io: Io): Promise<ExitCode> => {
  const wanted = { json: args.includes('--json'), stack: args.includes('--debug') };
  try {
    return await interruptible(io, (signal) => dispatch(args, io, signal));
  } catch (error) {
    if (wanted.json) io.out.write(`${JSON.stringify(errorData(error), null, 2)}\n`);
    else io.err.write(`${showError(error, io.err.style, { stack: wanted.stack })}\n`);
    return exitCodeOf(error);
  }
};

const dispatch = async (args: readonly string[], io: Io, signal: AbortSignal): Promise<ExitCode> => {
  const name = args[0] === 'help' ? args[1] : args[0];
  const card = commands.find((candidate) => candidate.name === name);
  if (name !== undefined && !name.startsWith('-') && !card) throw unknownCommand(name);
  let exitCode: ExitCode = exitCodes.done;
  const root = rootCommand(io);
  for (const { name: other, summary } of commands) {
    const command = root.command(other).description(summary);
    if (other === card?.name)
      prepare(command, await card.load(), io, signal, (code) => {
        exitCode = code;
      });
  }
  try {
    if (args.length === 0) root.outputHelp();
    else await root.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return exitCodes.done;
    throw usageError(error, card?.name);
  }
  return exitCode;
};

const rootCommand = (io: Io): Command => {
  const root = new Command('compress');
  root
    .description(
      'Makes trained models small: reads ONNX files and Hugging Face checkpoints, writes what runtimes load.',
    )
    .version(toolVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .addHelpText('after', epilogue)
    .configureOutput({ writeOut: (text) => io.out.write(text.endsWith('\n') ? text : `${text}\n`), writeErr: () => {} })
    .configureHelp({ helpWidth: Math.min(100, Math.max(60, io.out.columns)) })
    .showSuggestionAfterError(true)
    .exitOverride();
  return root;
};

const prepare = (
  command: Command,
  module: CommandModule,
  io: Io,
  signal: AbortSignal,
  finish: (code: ExitCode) => void,
): void => {
  configureCommand(command, module);
  command
    .helpOption('-h, --help', 'show this help')
    .allowExcessArguments(false)
    .exitOverride()
    .action(async () => {
      const options = new OptionValues(command.opts());
      const json = options.flag('json');
      const result = await module.run(command.args, options, { io, json, signal });
      const text = json ? JSON.stringify(result.data, null, 2) : result.text(io.out.style);
      if (text !== '') io.out.write(`${text}\n`);
      finish(result.exitCode ?? exitCodes.done);
    });
};

const unknownCommand = (name: string): CompressError => {
  const names = commands.map((card) => card.name);
  const near = nearest(name, names);
  return new CompressError({
    code: 'usage',
    message: `there is no command '${name}'`,
    hint: near ? `Did you mean '${near}'?` : `Commands: ${names.join(', ')}.`,
  });
};

/** Commander's complaint as one of our errors; its suggestion becomes the hint. */
const usageError = (error: CommanderError, command: string | undefined): CompressError => {
  const [, message = error.message, suggestion] = /^(?:error: )?(.*?)(?:\n\((.*)\))?$/s.exec(error.message) ?? [];
  return new CompressError({
    code: 'usage',
    message,
    hint: suggestion ?? `\`compress ${command ? `${command} --help` : '--help'}\` shows what there is.`,
  });
};
