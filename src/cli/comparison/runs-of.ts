import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { NamedReport } from '../../report/comparison/rows.ts';
import { readReport } from '../../report/read-report.ts';

/** Output folders of runs under names that differ: the last part of each path, or the paths themselves. */
export const namedRuns = (paths: readonly string[], directory: string): NamedReport[] => {
  const names = paths.map((path) => basename(resolve(directory, path)));
  const chosen = new Set(names).size === names.length ? names : paths;
  return paths.map((path, index) => ({ name: chosen[index] ?? path, report: readReport(resolve(directory, path)) }));
};

/** The reports of two paths, where both are output folders of runs. */
export const runsOf = (a: string, b: string, directory: string): readonly [NamedReport, NamedReport] | undefined => {
  const isRun = (path: string): boolean => existsSync(join(resolve(directory, path), 'report.json'));
  if (!isRun(a) || !isRun(b)) return undefined;
  const [first, second] = namedRuns([a, b], directory);
  return first && second ? [first, second] : undefined;
};
