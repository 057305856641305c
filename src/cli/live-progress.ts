import { broadcast } from '../recipe/event-log.ts';
import type { Emit, TimedEvent } from '../recipe/events.ts';
import { plainReporter } from '../reporters/plain.ts';
import type { CommandContext } from './command.ts';

/** Progress of a command that is no run: a live line on the terminal's error stream, nothing elsewhere. */
export const withProgress = async <Result>(
  { io }: CommandContext,
  work: (emit: Emit) => Promise<Result>,
): Promise<Result> => {
  if (!io.err.live) return work(() => {});
  const reporter = plainReporter(io.err);
  try {
    return await work(
      broadcast([
        (event: TimedEvent) => {
          if (event.type === 'progress') reporter.listener(event);
        },
      ]),
    );
  } finally {
    reporter.close();
  }
};
