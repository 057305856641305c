import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { freshFolder } from '../recipe/tiny-run.ts';
import { capture } from './capture.ts';

const fixture = join(import.meta.dirname, '../../fixtures/made/tiny-llama');

const written = (stage: string): { folder: string; path: string } => {
  const folder = freshFolder();
  const path = join(folder, 'recipe.yaml');
  const data = `data: { calibration: { text: ${join(fixture, 'calibration.txt')}, window: 32, samples: 4 } }`;
  writeFileSync(path, `model: ${fixture}\noutput: out\n${data}\nstages: [${stage}]\n`);
  return { folder, path };
};

describe('compress plan --front', () => {
  test('shows what budgets would lose, and changes nothing', async () => {
    const { folder, path } = written('{ auto: { parameters: 0.8, kinds: [low-rank, removal] } }');
    const shown = await capture(['plan', path, '--front'], folder);
    expect(shown.exitCode).toBe(0);
    expect(shown.out).toContain('What budgets of parameters would lose');
    expect(shown.out).toMatch(/90 %, [\d,]+ +\d\S* +\d+ (low-rank|removal)/);
    expect(shown.out).toContain('Nothing was written');
    const { out } = await capture(['plan', path, '--front', '--json'], folder);
    const { forecast } = JSON.parse(out);
    expect(forecast.measure).toBe('parameters');
    const losses = forecast.points.map(({ loss }: { loss: number }) => loss);
    expect(losses.length).toBeGreaterThan(4);
    expect([...losses].sort((a: number, b: number) => a - b)).toEqual(losses);
  });

  test('a recipe that does not begin with auto is told so', async () => {
    const { folder, path } = written('{ slice: { ratio: 0.2 } }');
    const { exitCode, err } = await capture(['plan', path, '--front'], folder);
    expect(exitCode).toBe(2);
    expect(err).toContain("the first stage is 'slice'");
    expect(err).toContain('begins with auto');
  });
});
