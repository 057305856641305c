import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { run } from '../../src/index.ts';
import type { TimedEvent } from '../../src/recipe/events.ts';
import { freshFolder, languageRecipe, writeRecipe } from '../recipe/tiny-run.ts';
import { story } from '../reporters/story.ts';
import { capture } from './capture.ts';

const write = (path: string, events: readonly TimedEvent[]): void =>
  writeFileSync(path, events.map((event) => `${JSON.stringify(event)}\n`).join(''));

describe('compress watch', () => {
  const folder = freshFolder();
  let recipe: string;

  beforeAll(async () => {
    recipe = writeRecipe(folder, languageRecipe());
    await run(recipe);
  });

  test.each([
    ['an output folder', () => join(folder, 'out')],
    ['a recipe', () => recipe],
    ['a log', () => join(folder, 'out', 'events.ndjson')],
  ])('shows a run that has ended, by %s', async (_, path) => {
    const { exitCode, out } = await capture(['watch', path()], folder);
    expect(exitCode).toBe(0);
    expect(out).toContain('[1/1] quantize');
    expect(out).toMatch(/perplexity +held-out +onnx-qdq/);
    expect(out).toContain('done in');
  });

  test('without an argument shows the last run of the directory', async () => {
    const { exitCode, out } = await capture(['watch', '--json'], folder);
    expect(exitCode).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ outcome: 'done', output: join(folder, 'out') });
  });

  test('answers as the run did', async () => {
    const path = join(folder, 'failed.ndjson');
    write(path, story);
    const { exitCode, out } = await capture(['watch', path], folder);
    expect(exitCode).toBe(3);
    expect(out).toContain('gate perplexity increase 2% FAILED');
  });

  test('waits for a run that has not begun and follows it while it goes on', async () => {
    const output = join(folder, 'later');
    const ended = capture(['watch', output, '--reporter', 'json'], folder);
    await new Promise((resolve) => setTimeout(resolve, 300));
    mkdirSync(output);
    const path = join(output, 'events.ndjson');
    write(path, story.slice(0, 3));
    for (const event of story.slice(3)) {
      const text = `${JSON.stringify(event)}\n`;
      appendFileSync(path, text.slice(0, 9));
      await new Promise((resolve) => setTimeout(resolve, 20));
      appendFileSync(path, text.slice(9));
    }
    const { exitCode, out, err } = await ended;
    expect(exitCode).toBe(3);
    expect(err).toContain('waiting for a run that writes to');
    expect(
      out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(story);
  });

  test('attaches to the run of another process by its output folder', { timeout: 120_000 }, async () => {
    const place = freshFolder();
    const file = writeRecipe(place, languageRecipe());
    const main = join(import.meta.dirname, '../../src/cli/main.ts');
    const other = spawn(process.execPath, ['--import', 'tsx', main, 'run', file], {
      stdio: 'ignore',
      env: { ...process.env, COMPRESS_CACHE: '' },
    });
    const { exitCode, out } = await capture(['watch', 'out', '--reporter', 'json'], place);
    if (other.exitCode === null) await new Promise((resolve) => other.on('close', resolve));
    expect(exitCode).toBe(0);
    const types = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).type);
    expect([types[0], types.at(-1)]).toEqual(['run-started', 'run-finished']);
    expect(types).toContain('site-finished');
  });

  test('says when the process of a run is gone', async () => {
    const path = join(folder, 'killed.ndjson');
    write(path, story.slice(0, 5));
    const { exitCode, out } = await capture(['watch', path, '--json'], folder);
    expect(exitCode).toBe(2);
    expect(JSON.parse(out)).toMatchObject({ outcome: 'failed' });
  });

  test('refuses what is no run', async () => {
    writeFileSync(join(folder, 'model.onnx'), 'x');
    const { exitCode, err } = await capture(['watch', 'model.onnx'], folder);
    expect(exitCode).toBe(2);
    expect(err).toContain('this is no run');
    expect((await capture(['watch'], freshFolder())).err).toContain('no run has left a log');
  });
});
