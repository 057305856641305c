import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { contentsOf, freshFolder, languageRecipe, writeRecipe } from '../recipe/tiny-run.ts';

const root = join(import.meta.dirname, '../..');

/** Starts `compress run` on a recipe as a process of its own. */
const start = (recipe: string): ChildProcess =>
  spawn(process.execPath, ['--import', 'tsx', join(root, 'src/cli/main.ts'), 'run', recipe], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, COMPRESS_CACHE: '' },
  });

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly errors: string;
}

const ended = (child: ChildProcess): Promise<Ended> =>
  new Promise((resolve) => {
    let errors = '';
    child.stderr?.on('data', (text: Buffer) => {
      errors += text.toString();
    });
    child.on('close', (code, signal) => resolve({ code, signal, errors }));
  });

/** The events that the run below `folder` has written so far. */
const eventsOf = (folder: string): string => {
  const runs = join(folder, '.compress', 'cache', 'runs');
  if (!existsSync(runs)) return '';
  return readdirSync(runs)
    .map((name) => join(runs, name, 'events.ndjson'))
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, 'utf8'))
    .join('');
};

/** Waits until an event appears that matches, or the process ends. */
const untilEvent = async (folder: string, child: ChildProcess, pattern: RegExp): Promise<void> => {
  while (child.exitCode === null && !pattern.test(eventsOf(folder))) await new Promise((later) => setTimeout(later, 5));
};

describe('a run that is killed', () => {
  test('at any moment, and started again, gives the bytes of a run that was not', { timeout: 180_000 }, async () => {
    const folder = freshFolder();
    const recipe = writeRecipe(folder, languageRecipe());
    const output = join(folder, 'out');
    expect((await ended(start(recipe))).code).toBe(0);
    const whole = contentsOf(output);
    renameSync(output, join(folder, 'whole'));
    rmSync(join(folder, '.compress'), { recursive: true });

    const moments = [
      /"type":"metric","model":"before"/,
      /"type":"stage-started"/,
      /"type":"site-finished"/,
      /"type":"stage-finished"/,
      /"type":"artifact-written"/,
      /"type":"metric","model":"after"/,
    ];
    for (const moment of moments) {
      const child = start(recipe);
      const end = ended(child);
      await untilEvent(folder, child, moment);
      child.kill('SIGKILL');
      expect((await end).signal, `killed at ${moment}`).toBe('SIGKILL');
      expect(existsSync(output)).toBe(false);
      rmSync(join(folder, '.compress', 'cache', 'runs'), { recursive: true, force: true });
    }
    const last = await ended(start(recipe));
    expect([last.code, last.errors]).toEqual([0, '']);
    expect(contentsOf(output)).toEqual(whole);
    expect(readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([]);
  });
});

describe('Ctrl-C', () => {
  test('stops a run with exit code 130 and says how to go on; a second one ends it at once', {
    timeout: 60_000,
  }, async () => {
    const folder = freshFolder();
    const recipe = writeRecipe(folder, languageRecipe());
    const child = start(recipe);
    const end = ended(child);
    await untilEvent(folder, child, /"type":"stage-started"/);
    child.kill('SIGINT');
    const { code, errors } = await end;
    expect([code, errors]).toEqual([130, expect.stringContaining('Run the same command again')]);
    expect(existsSync(join(folder, 'out'))).toBe(false);

    const again = start(recipe);
    const quick = ended(again);
    await untilEvent(folder, again, /"type":"stage-started"/);
    again.kill('SIGINT');
    again.kill('SIGINT');
    const { code: lastCode, signal } = await quick;
    expect(signal === 'SIGINT' || lastCode === 130).toBe(true);
  });
});
