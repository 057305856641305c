import { jsonReporter } from './json.ts';
import { plainReporter } from './plain.ts';
import type { ReporterCard } from './reporter.ts';
import { tuiReporter } from './tui/index.ts';

/** Every way of showing a run. */
export const reporters: readonly ReporterCard[] = [
  {
    name: 'plain',
    summary: 'lines for people, with a live progress line on a terminal',
    screen: true,
    open: plainReporter,
  },
  {
    name: 'tui',
    summary: 'a live picture of the run on a terminal, with keys to pause and stop',
    screen: true,
    open: tuiReporter,
  },
  { name: 'json', summary: 'one JSON object a line for every event', screen: true, open: jsonReporter },
];
