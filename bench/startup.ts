import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

const main = join(import.meta.dirname, '..', 'dist', 'cli', 'main.js');

const timeOf = (args: readonly string[]): number => {
  const started = performance.now();
  execFileSync(process.execPath, args, { stdio: 'ignore' });
  return performance.now() - started;
};

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

/** Times in milliseconds of `compress --help` (of the build) and of a Node that does nothing, taken in turns; medians. */
export const startupBenchmark = (repetitions = 15): { readonly helpMs: number; readonly nodeMs: number } => {
  const [help, node]: [number[], number[]] = [[], []];
  for (let round = 0; round < repetitions; round++) {
    node.push(timeOf(['-e', '0']));
    help.push(timeOf([main, '--help']));
  }
  return { helpMs: median(help), nodeMs: median(node) };
};
