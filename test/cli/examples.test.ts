import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { configureCommand } from '../../src/cli/command.ts';
import { commands } from '../../src/cli/commands/index.ts';
import { capture } from './capture.ts';

/** Words of a line as a shell would split it: quotes group, pipes and redirections end the command. */
const words = (line: string): string[] => {
  const found = line.match(/'[^']*'|"[^"]*"|\S+/g) ?? [];
  const end = found.findIndex((word) => ['|', '>', '&&', '#'].includes(word));
  return (end < 0 ? found : found.slice(0, end)).map((word) => word.replace(/^(['"])(.*)\1$/, '$2'));
};

const examplesOf = (help: string): string[] =>
  help
    .replaceAll(/\\\n\s+/g, '')
    .split('\n')
    .filter((line) => /^\s+\$ compress /.test(line))
    .map((line) => line.trim().slice(2));

const parse = async (line: string): Promise<void> => {
  const [, name, ...args] = words(line);
  const card = commands.find((candidate) => candidate.name === name);
  if (name === 'help') return;
  if (!card) throw new Error(`no command '${name}'`);
  const command = new Command(card.name);
  configureCommand(command, await card.load());
  command
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeErr: () => {}, writeOut: () => {} })
    .action(() => {});
  await command.parseAsync(args, { from: 'user' });
};

describe('the examples that help shows', () => {
  test('of the program are commands that there are', async () => {
    const examples = examplesOf((await capture(['--help'])).out);
    expect(examples.length).toBeGreaterThan(2);
    for (const line of examples) await parse(line);
  });

  test.each(commands.map((card) => card.name))('of %s have its own arguments and flags', async (name) => {
    const examples = examplesOf((await capture([name, '--help'])).out);
    expect(examples.length).toBeGreaterThan(0);
    for (const line of examples) {
      expect(words(line)[1]).toBe(name);
      await parse(line);
    }
  });
});
