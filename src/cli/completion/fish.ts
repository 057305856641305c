import type { CommandWords, FlagWords } from './command-line.ts';

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

const flagLine = (command: string, { long, short, description, value }: FlagWords): string => {
  const parts = [`complete -c compress -n '__fish_seen_subcommand_from ${command}'`];
  if (short !== undefined) parts.push(`-s ${short.slice(1)}`);
  if (long !== undefined) parts.push(`-l ${long.slice(2)}`);
  if (value === 'path') parts.push('-r -F');
  else if (value === 'any') parts.push('-x');
  else if (value !== undefined) parts.push(`-x -a ${quoted(value.join(' '))}`);
  return [...parts, `-d ${quoted(description)}`].join(' ');
};

const commandLines = ({ name, summary, flags, arguments: words }: CommandWords): string[] => [
  `complete -c compress -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`,
  ...(words === 'path' ? [`complete -c compress -n '__fish_seen_subcommand_from ${name}' -F`] : []),
  ...(Array.isArray(words)
    ? [`complete -c compress -n '__fish_seen_subcommand_from ${name}' -a ${quoted(words.join(' '))}`]
    : []),
  ...flags.map((flag) => flagLine(name, flag)),
];

/** The completion script of fish: a file in ~/.config/fish/completions. */
export const fishCompletion = (commands: readonly CommandWords[]): string =>
  `${['# fish completion of compress', 'complete -c compress -f', ...commands.flatMap(commandLines)].join('\n')}\n`;
