import type { CommandWords, FlagWords } from './command-line.ts';

const names = ({ long, short }: FlagWords): string[] => [long, short].filter((name) => name !== undefined);

const valueCase = (flag: FlagWords): string => {
  const pattern = names(flag).join('|');
  if (flag.value === 'path')
    return `      ${pattern}) COMPREPLY=($(compgen -f -- "$word")); compopt -o filenames; return ;;`;
  if (flag.value === 'any') return `      ${pattern}) return ;;`;
  return `      ${pattern}) COMPREPLY=($(compgen -W '${(flag.value ?? []).join(' ')}' -- "$word")); return ;;`;
};

const commandCase = ({ name, flags, arguments: words }: CommandWords): string => {
  const withValue = flags.filter((flag) => flag.value !== undefined);
  const lines = [
    `    ${name})`,
    ...(withValue.length > 0 ? ['      case "$before" in', ...withValue.map(valueCase), '      esac'] : []),
    `      flags='${flags.flatMap(names).join(' ')}'`,
    `      words='${Array.isArray(words) ? words.join(' ') : ''}'`,
    `      files=${words === 'path' ? 1 : 0}`,
    '      ;;',
  ];
  return lines.join('\n');
};

/** The completion script of bash: source it. */
export const bashCompletion = (commands: readonly CommandWords[]): string => `# bash completion of compress
_compress() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" flags='' words='' files=0
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${commands.map(({ name }) => name).join(' ')} help --help --version' -- "$word"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
    help) COMPREPLY=($(compgen -W '${commands.map(({ name }) => name).join(' ')}' -- "$word")); return ;;
${commands.map(commandCase).join('\n')}
  esac
  case "$word" in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$word")) ;;
    *)
      COMPREPLY=($(compgen -W "$words" -- "$word"))
      if [ "$files" = 1 ]; then COMPREPLY+=($(compgen -f -- "$word")); compopt -o filenames; fi
      ;;
  esac
}
complete -F _compress compress
`;
