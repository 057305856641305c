import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fixture, freshFolder } from '../recipe/tiny-run.ts';
import { capture } from './capture.ts';

const folder = freshFolder();
const data = `text:${fixture('tiny-llama', 'calibration.txt')},window=32,samples=10`;
const base = ['capture', fixture('tiny-llama'), '--data', data];

describe('compress capture', () => {
  test('stores scores that distill learns from, and nothing twice', async () => {
    const output = join(folder, 'captured');
    const first = await capture([...base, '--output', output, '--top', '8', '--json']);
    expect([first.exitCode, first.err]).toEqual([0, '']);
    const told = JSON.parse(first.out);
    expect(told).toMatchObject({ kept: 8, samples: 10, temperature: 1 });
    const stored = JSON.parse(readFileSync(join(output, 'capture.json'), 'utf8'));
    expect(stored.shards).toHaveLength(1);
    expect(told.bytes).toBe(stored.shards[0].bytes);
    const again = await capture([...base, '--output', output, '--top', '8']);
    expect(again.exitCode).toBe(0);
    expect(again.out).toContain('the 8 greatest of');
    const learned = await capture([
      'distill',
      '--teacher',
      output,
      '--student',
      fixture('tiny-llama'),
      '--data',
      data,
      '--output',
      join(folder, 'student'),
      '--steps',
      '2',
      '--batch',
      '2',
      '--set',
      'stages.0.distill.layers=[0, 2]',
    ]);
    expect([learned.exitCode, learned.err]).toEqual([0, '']);
  });

  test.each([
    ['no output', [], /--output/],
    ['a number that is none', ['--output', join(folder, 'x'), '--top', 'many'], /--top.*many|many.*--top/s],
    ['no data', ['--output', join(folder, 'y')], /no data/],
  ])('%s is an error of use', async (name, flags, expected) => {
    const called = name === 'no data' ? ['capture', fixture('tiny-llama')] : base;
    const { exitCode, err } = await capture([...called, ...flags]);
    expect(exitCode).toBe(2);
    expect(err).toMatch(expected);
  });
});
