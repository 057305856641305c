import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { capture } from '../../cli/capture.ts';
import { contentsOf, fixture, freshFolder } from '../../recipe/tiny-run.ts';

const folder = freshFolder();
const teacher = join(folder, 'teacher');
const text = (file: string): string => `text:${fixture('tiny-llama', file)},window=32`;
const base = [
  'distill',
  '--teacher',
  teacher,
  '--student',
  fixture('tiny-llama'),
  '--data',
  `${text('calibration.txt')},samples=16`,
];
const quick = ['--steps', '4', '--batch', '2', '--set', 'stages.0.distill.layers=[0, 2]'];

const run = (output: string, ...flags: string[]) =>
  capture([
    ...base,
    ...quick,
    '--output',
    join(folder, output),
    '--evaluation',
    `${text('evaluation.txt')},samples=4`,
    ...flags,
  ]);

describe('compress distill', () => {
  beforeAll(() => {
    process.env.COMPRESS_CACHE = join(folder, 'cache');
    cpSync(fixture('tiny-llama'), teacher, { recursive: true });
    return () => {
      delete process.env.COMPRESS_CACHE;
    };
  });

  test('writes a student of fewer layers whose config.json says so', async () => {
    const { exitCode, err } = await run('small');
    expect([exitCode, err]).toEqual([0, '']);
    const config = JSON.parse(readFileSync(join(folder, 'small/config.json'), 'utf8'));
    const original = JSON.parse(readFileSync(fixture('tiny-llama', 'config.json'), 'utf8'));
    expect(config).toEqual({ ...original, num_hidden_layers: 2 });
    const report = JSON.parse(readFileSync(join(folder, 'small/report.json'), 'utf8'));
    expect(report.stages[0].findings[0].text).toMatch(/^trained 4 of 4 steps, kept step \d$/);
  });

  test('a second run takes the training from the cache and writes the same bytes', async () => {
    const { exitCode, out } = await run('again');
    expect(exitCode).toBe(0);
    expect(out).toMatch(/cache/);
    const [first, second] = ['small', 'again'].map((name) => contentsOf(join(folder, name))) as [
      Map<string, string>,
      Map<string, string>,
    ];
    expect(second.get('model.onnx')).toBe(first.get('model.onnx'));
  });

  test('another teacher of the same path is another training', async () => {
    rmSync(join(teacher, 'generation_config.json'));
    const { exitCode, out } = await run('other');
    expect(exitCode).toBe(0);
    expect(out).not.toMatch(/cache/);
  });

  test('a teacher that is not there is named with its place, before anything runs', async () => {
    const { exitCode, err } = await capture([
      'distill',
      '--teacher',
      'nowhere',
      '--student',
      fixture('tiny-llama'),
      '--data',
      text('calibration.txt'),
      '--output',
      join(folder, 'none'),
    ]);
    expect(exitCode).toBe(2);
    expect(err).toContain('nowhere');
  });
});
