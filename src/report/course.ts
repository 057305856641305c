import type { TimedEvent } from '../recipe/events.ts';
import type { RunCourse } from './schema.ts';
import { StepTracker } from './steps.ts';

/** Points of a memory curve that are kept. */
const mostSamples = 600;

type Finished = Extract<TimedEvent, { type: 'run-finished' }>;

const pausedMs = (events: readonly TimedEvent[]): number => {
  let sum = 0;
  let since: number | undefined;
  for (const event of events) {
    if (event.type === 'paused') since ??= event.atMs;
    if (since === undefined || (event.type !== 'resumed' && event.type !== 'run-finished')) continue;
    sum += event.atMs - since;
    since = undefined;
  }
  return sum;
};

const memoryOf = (events: readonly TimedEvent[]): RunCourse['memory'] => {
  const samples = events.flatMap((event) =>
    event.type === 'resources' ? [{ atMs: event.atMs, bytes: event.memoryBytes }] : [],
  );
  const stride = Math.ceil(samples.length / mostSamples);
  return samples.filter((_, index) => index % stride === 0);
};

/** How a run went, by the log of its events; undefined for a log that does not tell of a whole run. */
export const courseOf = (events: readonly TimedEvent[]): RunCourse | undefined => {
  const started = events.find((event) => event.type === 'run-started');
  const finished = events.find((event): event is Finished => event.type === 'run-finished');
  if (!started || !finished) return undefined;
  const tracker = new StepTracker();
  for (const event of events) tracker.apply(event);
  return {
    durationMs: finished.atMs,
    pausedMs: pausedMs(events),
    peakMemoryBytes: finished.peakMemoryBytes,
    maxMemoryBytes: started.maxMemoryBytes,
    steps: tracker.steps.flatMap(({ name, kind, state, startedMs = 0, endedMs = finished.atMs }) =>
      state === 'waiting' || state === 'running' ? [] : [{ name, kind, state, startMs: startedMs, endMs: endedMs }],
    ),
    memory: memoryOf(events),
  };
};
