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
  {
    name: 'junit',
    summary: 'JUnit XML with a test case for every gate',
    screen: true,
    open: async (...given) => (await import('./junit.ts')).junitReporter(...given),
  },
  {
    name: 'github',
    summary: 'annotations and a job summary in GitHub workflows',
    screen: false,
    open: async (...given) => (await import('./github.ts')).githubReporter(...given),
  },
  {
    name: 'html',
    summary: 'the report as one page, in a file: html=report.html',
    screen: false,
    open: async (...given) => (await import('./html.ts')).htmlReporter(...given),
  },
  { name: 'json', summary: 'one JSON object a line for every event', screen: true, open: jsonReporter },
];
