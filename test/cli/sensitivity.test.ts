import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { freshFolder } from '../recipe/tiny-run.ts';
import { capture } from './capture.ts';

const fixture = join(import.meta.dirname, '../../fixtures/made/tiny-llama');
let folder: string;

beforeAll(() => {
  folder = freshFolder();
});

const data = ['--calibration', `text:${join(fixture, 'calibration.txt')},window=32,samples=4`];

describe('compress sensitivity', () => {
  test('shows the loss of every width at every weight, what is chosen, and a recipe', async () => {
    const args = ['sensitivity', fixture, ...data, '--average-bits', '3', '--set', 'stages.0.sensitivity.search=false'];
    const { exitCode, out } = await capture([...args, '--verify', '--output', join(folder, 'report')], folder);
    expect(exitCode).toBe(0);
    expect(out).toMatch(/model\.layers\.0\.self_attn\.q_proj +q +/);
    expect(out).toMatch(/everywhere int4 g32: predicted loss/);
    expect(out).toMatch(/rank correlation of curvature with what was measured: /);
    expect(out).toMatch(/chosen: [23]\.\d\d bits a weight/);
    const recipe = parse(readFileSync(join(folder, 'report/recipe.yaml'), 'utf8'));
    expect(recipe.stages[0].quantize.method).toBe('curvature');
    const report = JSON.parse(readFileSync(join(folder, 'report/sensitivity.json'), 'utf8'));
    const lines = readFileSync(join(folder, 'report/losses.csv'), 'utf8').trim().split('\n');
    expect(lines).toHaveLength(1 + report.sites.length * 4);
    expect(readFileSync(join(folder, 'report/front.csv'), 'utf8')).toMatch(/^bits,loss\n/);
  });

  test('tells machines the same, and finds again what it has gathered', async () => {
    const { exitCode, out } = await capture(['sensitivity', fixture, ...data, '--json'], folder);
    expect(exitCode).toBe(0);
    const report = JSON.parse(out);
    expect(report.sites.length).toBeGreaterThan(10);
    expect(report.allocation).toBeUndefined();
    expect(existsSync(join(folder, '.compress/cache/statistics'))).toBe(true);
  });

  test('says what is missing, and what cannot be', async () => {
    const { exitCode, err } = await capture(['sensitivity', fixture], folder);
    expect(exitCode).toBe(2);
    expect(err).toContain('calibration');
    const both = await capture(['sensitivity', fixture, ...data, '--average-bits', '3', '--size', '0.2'], folder);
    expect([both.exitCode, both.err]).toEqual([2, expect.stringContaining('exactly one of')]);
  });
});
