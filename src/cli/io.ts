import type { ReporterTarget, Terminal } from '../reporters/reporter.ts';
import { styleFor } from '../reporters/style.ts';

/** The streams and surroundings of a command, so that commands name no global of the process. */
export interface Io {
  readonly out: ReporterTarget;
  readonly err: ReporterTarget;
  readonly directory: string;
  /** While a reporter draws on the terminal nothing else may write there. */
  readonly screen: { taken: boolean };
}

/** Machines that run commands unattended say so. */
const isUnattended = (environment: Readonly<Record<string, string | undefined>>): boolean =>
  [environment.CI, environment.CONTINUOUS_INTEGRATION].some(
    (value) => value !== undefined && !['', '0', 'false'].includes(value),
  );

/** The terminal of this process, where a person can see what is drawn and press keys. */
const personsTerminal = (environment: Readonly<Record<string, string | undefined>>): Terminal | undefined => {
  const { stdin, stdout } = process;
  const watched = stdout.isTTY && stdin.isTTY && environment.TERM !== 'dumb' && !isUnattended(environment);
  return watched ? { stdin, stdout } : undefined;
};

/** What is used of a stream of the process. */
interface TerminalStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

const targetOf = (
  stream: TerminalStream,
  environment: Readonly<Record<string, string | undefined>>,
  drawable?: Terminal,
): ReporterTarget => {
  const terminal = stream.isTTY === true;
  return {
    write: (text) => {
      stream.write(text);
    },
    live: terminal && environment.TERM !== 'dumb' && !isUnattended(environment),
    get columns() {
      return stream.columns ?? 80;
    },
    style: styleFor({ terminal, environment }),
    ...(drawable ? { terminal: drawable } : {}),
  };
};

/** The Io of this process. */
export const processIo = (): Io => ({
  out: targetOf(process.stdout, process.env, personsTerminal(process.env)),
  err: targetOf(process.stderr, process.env),
  directory: process.cwd(),
  screen: { taken: false },
});
