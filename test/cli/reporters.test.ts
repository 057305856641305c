import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { freshFolder, languageRecipe, writeRecipe } from '../recipe/tiny-run.ts';
import { capture } from './capture.ts';

afterEach(() => vi.unstubAllEnvs());

describe('--reporter', () => {
  test('several at once, each to its own file', async () => {
    const folder = freshFolder();
    const recipe = writeRecipe(folder, languageRecipe());
    const flags = ['plain', 'junit=ci/results.xml', 'json=events.log', 'html=page.html', 'github=comment.md'];
    const { exitCode, out } = await capture(['run', recipe, ...flags.flatMap((name) => ['--reporter', name])], folder);
    expect(exitCode).toBe(0);
    expect(out).toContain('[1/1] quantize');
    expect(readFileSync(join(folder, 'ci', 'results.xml'), 'utf8')).toMatch(/tests="3" failures="0" errors="0"/);
    expect(readFileSync(join(folder, 'events.log'), 'utf8').split('\n')[0]).toContain('run-started');
    expect(readFileSync(join(folder, 'page.html'), 'utf8')).toBe(
      readFileSync(join(folder, 'out', 'report.html'), 'utf8'),
    );
    expect(readFileSync(join(folder, 'comment.md'), 'utf8')).toContain('### ✅ compress');
  });

  test('problems of a recipe reach the reporters too', async () => {
    const folder = freshFolder();
    const recipe = writeRecipe(folder, `${languageRecipe()}\nbitz: 3\n`);
    const { exitCode, out } = await capture(
      ['run', recipe, '--reporter', 'github', '--reporter', 'junit=r.xml'],
      folder,
    );
    expect(exitCode).toBe(2);
    expect(out).toContain(`::error file=${recipe},line=`);
    expect(readFileSync(join(folder, 'r.xml'), 'utf8')).toContain('bitz');
  });

  test('inside of a GitHub workflow annotations come by themselves', async () => {
    vi.stubEnv('GITHUB_ACTIONS', 'true');
    const folder = freshFolder();
    const { out } = await capture(['run', 'none.yaml'], folder);
    expect(out).toContain('::error file=none.yaml');
  });

  test.each([
    [['plian'], "Did you mean 'plain'?"],
    [['plain', 'json'], 'would both write to the terminal'],
    [['junit='], 'empty path'],
    [['html'], 'needs a file'],
  ])('%j is refused', async (names, words) => {
    const folder = freshFolder();
    const recipe = writeRecipe(folder, languageRecipe());
    const { exitCode, err } = await capture(['run', recipe, ...names.flatMap((name) => ['--reporter', name])], folder);
    expect(exitCode).toBe(2);
    expect(err).toContain(words);
    expect(existsSync(join(folder, 'out'))).toBe(false);
  });
});
