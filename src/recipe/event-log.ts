import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { Emit, TimedEvent } from './events.ts';
import { orExplain } from './store.ts';

/** Something that is told every event of a run: a reporter, a log, a test. */
export type Listener = (event: TimedEvent) => void;

/** Progress of one task is written to the log at most this often. */
const progressEveryMs = 250;

/** Stamps events with the time since it was made and hands them to every listener, in order. */
export const broadcast = (listeners: readonly Listener[]): Emit => {
  const begin = performance.now();
  return (event) => {
    const timed = { ...event, atMs: Math.round(performance.now() - begin) };
    for (const listener of listeners) listener(timed);
  };
};

/**
 * Appends events to a file, one JSON object a line, as they happen. Of progress events only some are kept: at most
 * four a second, and the last of every task.
 */
export const openEventLog = (path: string): { readonly listener: Listener; close(): void } => {
  const file = orExplain(path, () => {
    mkdirSync(dirname(path), { recursive: true });
    return openSync(path, 'w');
  });
  const lastProgress = new Map<string, number>();
  let open = true;
  const worthKeeping = (event: TimedEvent): boolean => {
    if (event.type !== 'progress' || event.done >= event.total) return true;
    const previous = lastProgress.get(event.task);
    if (previous !== undefined && event.atMs - previous < progressEveryMs) return false;
    lastProgress.set(event.task, event.atMs);
    return true;
  };
  return {
    listener: (event) => {
      if (open && worthKeeping(event)) orExplain(path, () => writeSync(file, `${JSON.stringify(event)}\n`));
    },
    close: () => {
      if (open) closeSync(file);
      open = false;
    },
  };
};
