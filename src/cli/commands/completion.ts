import { Argument } from 'commander';
import { CompressError } from '../../errors.ts';
import type { CommandModule } from '../command.ts';
import { bashCompletion } from '../completion/bash.ts';
import { type CommandWords, describeCommandLine } from '../completion/command-line.ts';
import { fishCompletion } from '../completion/fish.ts';
import { zshCompletion } from '../completion/zsh.ts';

const shells: Readonly<Record<string, (commands: readonly CommandWords[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** Prints a script that completes commands and flags in a shell. */
export const completionCommand: CommandModule = {
  configure(command) {
    command.addArgument(new Argument('<shell>', 'bash, zsh or fish').choices(Object.keys(shells))).addHelpText(
      'after',
      `
Install it once:
  bash  compress completion bash > ~/.local/share/bash-completion/completions/compress
  zsh   compress completion zsh > a folder of $fpath, as _compress
  fish  compress completion fish > ~/.config/fish/completions/compress.fish

Examples:
  $ compress completion bash
  $ compress completion fish`,
    );
  },

  async run(args) {
    const [shell = ''] = args;
    const write = shells[shell];
    if (!write) throw new CompressError({ code: 'usage', message: `there is no completion for '${shell}'` });
    const { commands } = await import('./index.ts');
    const { flagValues } = await import('../completion/values.ts');
    const script = write(await describeCommandLine(commands, flagValues()));
    return { data: { shell, script }, text: () => script.trimEnd() };
  },
};
