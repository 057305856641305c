import { Command } from 'commander';
import { configureCommand } from '../../src/cli/command.ts';
import { commands } from '../../src/cli/commands/index.ts';

/** Words of a line as a shell would split it: quotes group, pipes and redirections end the command. */
export const wordsOf = (line: string): string[] => {
  const found = line.match(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g) ?? [];
  const end = found.findIndex((word) => ['|', '>', '&&', '#'].includes(word));
  return (end < 0 ? found : found.slice(0, end)).map((word) => word.replaceAll(/(['"])(.*?)\1/g, '$2'));
};

/** Parses a line `compress …` with the command it names; throws what the command line would complain of. */
export const parseExample = async (line: string): Promise<void> => {
  const [, name, ...args] = wordsOf(line);
  if (name === undefined || name === 'help' || name.startsWith('-')) return;
  const card = commands.find((candidate) => candidate.name === name);
  if (!card) throw new Error(`no command '${name}' in: ${line}`);
  const command = new Command(card.name);
  configureCommand(command, await card.load());
  command
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeErr: () => {}, writeOut: () => {} })
    .action(() => {});
  await command.parseAsync(args, { from: 'user' });
};
