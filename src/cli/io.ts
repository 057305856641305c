import type { ReporterTarget } from '../reporters/reporter.ts';
import { styleFor } from '../reporters/style.ts';

/** The streams and surroundings of a command, so that commands name no global of the process. */
export interface Io {
  readonly out: ReporterTarget;
  readonly err: ReporterTarget;
  readonly directory: string;
}

/** What is used of a stream of the process. */
interface TerminalStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

const targetOf = (
  stream: TerminalStream,
  environment: Readonly<Record<string, string | undefined>>,
): ReporterTarget => {
  const terminal = stream.isTTY === true;
  return {
    write: (text) => {
      stream.write(text);
    },
    live: terminal && environment.TERM !== 'dumb' && !environment.CI,
    get columns() {
      return stream.columns ?? 80;
    },
    style: styleFor({ terminal, environment }),
  };
};

/** The Io of this process. */
export const processIo = (): Io => ({
  out: targetOf(process.stdout, process.env),
  err: targetOf(process.stderr, process.env),
  directory: process.cwd(),
});
