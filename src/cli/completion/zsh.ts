import type { CommandWords, FlagWords } from './command-line.ts';

/** Text inside single quotes of a description in brackets. */
const quoted = (text: string): string =>
  text.replaceAll("'", "'\\''").replaceAll('[', '(').replaceAll(']', ')').replaceAll(':', '\\:');

const action = ({ value }: FlagWords): string => {
  if (value === undefined) return '';
  if (value === 'path') return ':path:_files';
  return value === 'any' ? ':value: ' : `:value:(${value.join(' ')})`;
};

const specification = (flag: FlagWords): string => {
  const text = `[${quoted(flag.description)}]${action(flag)}`;
  const { long, short } = flag;
  if (long !== undefined && short !== undefined) return `'*'{${short},${long}}'${text}'`;
  return `'*${long ?? short}${text}'`;
};

const commandCase = ({ name, flags, arguments: words }: CommandWords): string => {
  const rest = words === undefined ? '' : words === 'path' ? " '*:path:_files'" : ` '*:argument:(${words.join(' ')})'`;
  return `    ${name}) _arguments ${flags.map(specification).join(' ')}${rest} ;;`;
};

/** The completion script of zsh: a file named _compress in a folder of $fpath. */
export const zshCompletion = (commands: readonly CommandWords[]): string => `#compdef compress
_compress() {
  local -a commands=(
${commands.map(({ name, summary }) => `    '${name}:${quoted(summary)}'`).join('\n')}
    'help:show the help of a command'
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command="\${words[2]}"
  shift words
  (( CURRENT-- ))
  case "$command" in
    help) _describe command commands ;;
${commands.map(commandCase).join('\n')}
  esac
}
if [ "\${funcstack[1]}" = "_compress" ]; then _compress "$@"; else compdef _compress compress; fi
`;
