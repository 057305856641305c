import { CompressError } from '../errors.ts';
import type { Io } from './io.ts';

const stopSignals = ['SIGINT', 'SIGTERM'] as const;

/**
 * Runs work that the user may stop: the first Ctrl-C fires the abort signal, so that state is kept; the second ends
 * the process at once.
 */
export const interruptible = async <Result>(
  io: Io,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> => {
  const controller = new AbortController();
  const stop = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) {
      for (const signal of stopSignals) process.removeListener(signal, stop);
      process.kill(process.pid, name);
      return;
    }
    if (io.err.live && !io.screen.taken)
      io.err.write('\nstopping: finished work is kept (press Ctrl-C again to quit at once)\n');
    controller.abort(
      new CompressError({
        code: 'interrupted',
        message: 'stopped on request',
        hint: 'Run the same command again to go on from here; --fresh begins anew.',
      }),
    );
  };
  for (const signal of stopSignals) process.on(signal, stop);
  try {
    return await work(controller.signal);
  } finally {
    for (const signal of stopSignals) process.removeListener(signal, stop);
  }
};
