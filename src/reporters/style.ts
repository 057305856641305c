/** Wraps text in terminal colours, or leaves it as it is. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  bad(text: string): string;
  warn(text: string): string;
}

const wrap =
  (open: number, close: number) =>
  (text: string): string =>
    text === '' ? '' : `\u001b[${open}m${text}\u001b[${close}m`;

const same = (text: string): string => text;

export const plainStyle: Style = { bold: same, dim: same, good: same, bad: same, warn: same };

const colourStyle: Style = {
  bold: wrap(1, 22),
  dim: wrap(2, 22),
  good: wrap(32, 39),
  bad: wrap(31, 39),
  warn: wrap(33, 39),
};

/** Facts of the surroundings that decide about colours. */
export interface Surroundings {
  readonly terminal: boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Colours on a terminal, unless NO_COLOR is set (to anything but the empty text) or TERM is dumb; FORCE_COLOR asks for them. */
export const styleFor = ({ terminal, environment }: Surroundings): Style => {
  if (environment.NO_COLOR) return plainStyle;
  if (environment.FORCE_COLOR && environment.FORCE_COLOR !== '0') return colourStyle;
  return terminal && environment.TERM !== 'dumb' ? colourStyle : plainStyle;
};

/** Control characters that text from files (names of tensors, paths) could smuggle into a terminal, made visible. */
export const printable = (text: string): string =>
  text.replaceAll(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
