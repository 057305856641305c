import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { chooseData, lookAround } from '../../src/cli/init/look-around.ts';
import { freshFolder } from '../recipe/tiny-run.ts';
import { capture } from './capture.ts';

const root = resolve(import.meta.dirname, '../..');
const model = join(root, 'fixtures/made/tiny-llama');
const made = existsSync(model);

describe('what is found beside a model', () => {
  test('is offered by what the names say', () => {
    const folder = freshFolder();
    for (const name of ['corpus.txt', 'corpus-valid.txt', 'vocab.txt', 'notes.md'])
      writeFileSync(join(folder, name), '');
    const found = lookAround('language', join(folder, 'model.onnx'), folder);
    expect(found.map(({ text }) => text)).toEqual(['text:corpus-valid.txt,window=512', 'text:corpus.txt,window=512']);
    expect(chooseData(found)).toEqual({
      calibration: 'text:corpus.txt,window=512',
      evaluation: 'text:corpus-valid.txt,window=512',
    });
    expect(chooseData([])).toEqual({ calibration: undefined, evaluation: undefined });
  });
});

describe.skipIf(!made)('compress init', () => {
  test('--yes writes a commented recipe with its schema that plan accepts', async () => {
    const folder = freshFolder();
    const { exitCode, err } = await capture(['init', model, '--yes'], folder);
    expect([exitCode, err]).toEqual([0, '']);
    const text = readFileSync(join(folder, 'recipe.yaml'), 'utf8');
    expect(text).toContain('calibration.txt');
    if (existsSync(join(root, 'schemas')))
      expect(text).toMatch(/^# yaml-language-server: \$schema=.*recipe\.schema\.json\n/);
    const plan = await capture(['plan', join(folder, 'recipe.yaml')]);
    expect([plan.exitCode, plan.err]).toEqual([0, '']);
  });

  test('refuses an aim that does not suit the model and names those that do', async () => {
    const { exitCode, err } = await capture(['init', model, '--yes', '--aim', 'int8'], freshFolder());
    expect(exitCode).toBe(2);
    expect(err).toContain('w4 (');
  });

  test('asks on a terminal, and writes nothing when it is left', async (context) => {
    let spawn: typeof import('@lydell/node-pty').spawn;
    try {
      ({ spawn } = createRequire(import.meta.url)('@lydell/node-pty') as typeof import('@lydell/node-pty'));
    } catch (error) {
      return context.skip(`no pseudo-terminal: ${error}`);
    }
    const folder = freshFolder();
    const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => name !== 'CI')) as Record<
      string,
      string
    >;
    const answer = (keys: readonly string[]): Promise<{ exitCode: number; text: string }> =>
      new Promise((finished) => {
        const terminal = spawn(
          process.execPath,
          ['--import', 'tsx', join(root, 'src/cli/main.ts'), 'init', model, '--recipe', join(folder, 'asked.yaml')],
          { cols: 100, rows: 30, cwd: root, env: { ...environment, TERM: 'xterm-256color' } },
        );
        const questions = ['What do you want', 'methods may look at', 'to measure on', 'Folder for the result'];
        let [text, asked] = ['', 0];
        terminal.onData((data) => {
          text += data;
          const question = questions[asked];
          if (question === undefined || !text.includes(question) || asked >= keys.length) return;
          terminal.write(keys[asked++] ?? '');
        });
        terminal.onExit(({ exitCode }) => finished({ exitCode, text }));
      });
    const left = await answer(['\x03']);
    expect(left.exitCode).toBe(130);
    expect(existsSync(join(folder, 'asked.yaml'))).toBe(false);
    const down = '\x1b[B';
    const done = await answer([`${down}\r`, '\r', '\r', '\r']);
    expect(done.exitCode, done.text).toBe(0);
    expect(readFileSync(join(folder, 'asked.yaml'), 'utf8')).toContain('transformersjs');
  });
});
