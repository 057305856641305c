import type { Reporter, ReporterTarget } from './reporter.ts';

/** One JSON object a line for every event, as in events.ndjson. */
export const jsonReporter = (target: ReporterTarget): Reporter => ({
  listener: (event) => target.write(`${JSON.stringify(event)}\n`),
  close: () => {},
});
