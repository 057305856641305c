// `npx tsx bench/live-view.ts RECIPE`: what the live picture of a run costs. Runs the recipe from scratch into a folder
// that is removed again, draws it on a terminal of 120 × 40 that nobody sees, and adds up the processor time of
// drawing.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { readRecipeFile } from '../src/recipe/load.ts';
import { runRecipe } from '../src/recipe/run.ts';
import type { Terminal } from '../src/reporters/reporter.ts';
import { styleFor } from '../src/reporters/style.ts';

process.env.NODE_ENV = 'production';
for (const name of ['CI', 'CONTINUOUS_INTEGRATION']) delete process.env[name];

/** Streams that take themselves for a terminal. */
const unseenTerminal = (): Terminal => {
  const stdout = Object.assign(new PassThrough().resume(), { isTTY: true, columns: 120, rows: 40 });
  const nothing = (): void => {};
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: nothing, ref: nothing, unref: nothing });
  return { stdout, stdin } as unknown as Terminal;
};

const { openTui } = await import('../src/reporters/tui/open.tsx');
const folder = mkdtempSync(join(tmpdir(), 'modelpress-live-view-'));
try {
  process.env.COMPRESS_CACHE = join(folder, 'cache');
  const recipe = readRecipeFile(process.argv[2] ?? 'recipes/stories260k-w4-gptq.yaml');
  const terminal = unseenTerminal();
  const style = styleFor({ terminal: true, environment: {} });
  const target = { write: () => {}, live: true, columns: 120, style, terminal };
  const reporter = openTui(target, terminal, { annotate: () => {} });
  let events = 0;
  const begin = performance.now();
  const beginProcessorMs = (process.cpuUsage().user + process.cpuUsage().system) / 1000;
  await runRecipe(
    { ...recipe, output: join(folder, 'out') },
    {
      listeners: [
        (event) => {
          reporter.listener(event);
          events += 1;
        },
      ],
    },
  );
  const wallMs = performance.now() - begin;
  const processorMs = (process.cpuUsage().user + process.cpuUsage().system) / 1000 - beginProcessorMs;
  const share = (100 * reporter.drawingMs) / processorMs;
  console.log(
    `run of ${(wallMs / 1000).toFixed(1)} s with ${(processorMs / 1000).toFixed(1)} s of processor time, ${events} events; drawing took ${reporter.drawingMs.toFixed(0)} ms of processor time: ${share.toFixed(2)} % of the run’s, ${((100 * reporter.drawingMs) / wallMs).toFixed(2)} % of its length`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
