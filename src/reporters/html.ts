import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CompressError } from '../errors.ts';
import type { ReporterCard } from './reporter.ts';

/** The page of the report in another place, once the run has ended. A run that gives no output leaves none. */
export const htmlReporter: ReporterCard['open'] = (target, { path }) => {
  if (path === undefined)
    throw new CompressError({
      code: 'usage',
      message: 'the html reporter needs a file to write to',
      where: { flag: '--reporter' },
      hint: 'Write html=report.html. Every output folder has its own report.html in any case.',
    });
  let output: string | undefined;
  let complete = false;
  return {
    listener: (event) => {
      if (event.type === 'run-started') output = event.output;
      if (event.type === 'run-finished') complete = event.outcome === 'done' || event.outcome === 'gate-failed';
    },
    close: () => {
      if (complete && output !== undefined) target.write(readFileSync(join(output, 'report.html'), 'utf8'));
    },
  };
};
