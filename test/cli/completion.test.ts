import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { commands } from '../../src/cli/commands/index.ts';
import { capture } from './capture.ts';

const folder = mkdtempSync(join(tmpdir(), 'modelpress-completion-'));
afterAll(() => rmSync(folder, { recursive: true }));

const has = (shell: string): boolean => spawnSync(shell, ['--version']).status === 0;

const script = async (shell: string): Promise<string> => {
  const file = join(folder, shell === 'zsh' ? '_compress' : `completion.${shell}`);
  const { exitCode, out } = await capture(['completion', shell]);
  expect(exitCode).toBe(0);
  writeFileSync(file, out);
  return file;
};

describe('compress completion', () => {
  test('refuses other shells and names those that there are', async () => {
    const { exitCode, err } = await capture(['completion', 'tcsh']);
    expect(exitCode).toBe(2);
    expect(err).toContain('bash, zsh, fish');
  });

  describe.skipIf(!has('bash'))('in bash', () => {
    const complete = async (...words: string[]): Promise<string[]> => {
      const file = await script('bash');
      const program = `source '${file}'; COMP_WORDS=(compress ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _compress 2>/dev/null; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const { stdout, status, stderr } = spawnSync('bash', ['--norc', '-c', program], {
        encoding: 'utf8',
        cwd: folder,
      });
      expect([status, stderr]).toEqual([0, '']);
      return stdout.split('\n').filter((line) => line !== '');
    };

    test('offers every command', async () => {
      expect(await complete('')).toEqual(expect.arrayContaining(commands.map(({ name }) => name)));
      expect(await complete('qua')).toEqual(['quantize']);
      expect(await complete('help', 'dist')).toEqual(['distill']);
    });

    test('offers the flags of the command and what follows them', async () => {
      expect(await complete('quantize', '--group')).toEqual(['--group-size']);
      expect(await complete('quantize', 'model.onnx', '--to', 'onnx-m')).toEqual(['onnx-matmulnbits']);
      expect(await complete('run', 'recipe.yaml', '--reporter', 'pl')).toEqual(['plain']);
      expect(await complete('completion', 'z')).toEqual(['zsh']);
    });

    test('offers files where files go', async () => {
      writeFileSync(join(folder, 'recipe-of-mine.yaml'), '');
      expect(await complete('run', 'recipe-of')).toEqual(['recipe-of-mine.yaml']);
      expect(await complete('quantize', 'm.onnx', '--output', 'recipe-of')).toEqual(['recipe-of-mine.yaml']);
    });
  });

  test.skipIf(!has('zsh'))('is a script that zsh reads', async () => {
    const { status, stderr } = spawnSync('zsh', ['-n', await script('zsh')], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
  });

  test.skipIf(!has('fish'))('offers in fish what is offered in bash', async () => {
    const file = await script('fish');
    const program = `source ${file}; complete -C 'compress quantize --group'`;
    const { stdout, status } = spawnSync('fish', ['--no-config', '-c', program], { encoding: 'utf8' });
    expect(status).toBe(0);
    expect(stdout).toContain('--group-size');
  });
});
