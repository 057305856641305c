import { jsonReporter } from './json.ts';
import { plainReporter } from './plain.ts';
import type { ReporterCard } from './reporter.ts';

/** Every way of showing a run. */
export const reporters: readonly ReporterCard[] = [
  { name: 'plain', summary: 'lines for people, with a live progress line on a terminal', open: plainReporter },
  { name: 'json', summary: 'one JSON object a line for every event', open: jsonReporter },
];
