import type { Io } from '../../src/cli/io.ts';
import { runProgram } from '../../src/cli/program.ts';
import type { ReporterTarget } from '../../src/reporters/reporter.ts';
import { plainStyle } from '../../src/reporters/style.ts';

/** What a command line wrote and how it ended. */
export interface Captured {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command line inside this process, as from `directory` on no terminal. */
export const capture = async (args: readonly string[], directory = process.cwd()): Promise<Captured> => {
  const written = { out: '', err: '' };
  const target = (stream: 'out' | 'err'): ReporterTarget => ({
    write: (text) => {
      written[stream] += text;
    },
    live: false,
    columns: 100,
    style: plainStyle,
  });
  const io: Io = { out: target('out'), err: target('err'), directory, screen: { taken: false } };
  const exitCode = await runProgram(args, io);
  return { exitCode, ...written };
};
