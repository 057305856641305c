import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { paretoFront, parseSizes } from '../../../src/cli/emit-sizes.ts';
import { capture } from '../../cli/capture.ts';
import { fixture, freshFolder } from '../../recipe/tiny-run.ts';

const folder = freshFolder();
const text = (file: string, samples: number): string =>
  `text:${fixture('tiny-llama', file)},window=32,samples=${samples}`;
const base = ['slice', fixture('tiny-llama'), '--calibration', text('calibration.txt', 8)];
const measured = ['--evaluation', text('evaluation.txt', 4), '--metric', 'perplexity', '--metric', 'size'];

describe('compress slice', () => {
  beforeAll(() => {
    process.env.COMPRESS_CACHE = join(folder, 'cache');
    return () => {
      delete process.env.COMPRESS_CACHE;
    };
  });

  test('writes a smaller model that onnxruntime runs, and reports what is left', async () => {
    const output = join(folder, 'small');
    const { exitCode, err } = await capture([...base, '--ratio', '0.2', '--output', output, ...measured]);
    expect([exitCode, err]).toEqual([0, '']);
    const report = JSON.parse(readFileSync(join(output, 'report.json'), 'utf8'));
    expect(report.stages[0].findings[0].facts.blockParameters).toBeLessThanOrEqual(
      0.8 * report.stages[0].findings[0].facts.blockParametersBefore,
    );
  });

  test('--emit cuts several sizes from one order, with a table and a front', async () => {
    const output = join(folder, 'sizes');
    const { exitCode, out } = await capture([
      ...base,
      ...['--emit', '0.8,0.5', '--output', output, '--json'],
      ...measured,
    ]);
    expect(exitCode).toBe(0);
    const { sizes } = JSON.parse(out);
    expect(sizes.map(({ size }: { size: number }) => size)).toEqual([0.8, 0.5]);
    expect(sizes[1].bytes).toBeLessThan(sizes[0].bytes);
    for (const { output: written } of sizes) expect(existsSync(join(written, 'manifest.json'))).toBe(true);
  });

  test('a size that is no share is refused', async () => {
    const { exitCode, err } = await capture([...base, '--emit', '0.5,2', '--output', join(folder, 'none')]);
    expect(exitCode).toBe(2);
    expect(err).toContain('expected shares between 0 and 1');
  });

  test('inspect --groups lists what can go together and what cannot', async () => {
    const { exitCode, out } = await capture(['inspect', fixture('tiny-llama'), '--groups', '--json']);
    expect(exitCode).toBe(0);
    const { groups, excluded } = JSON.parse(out);
    expect(groups.map(({ kind, channels }: { kind: string; channels: number }) => [kind, channels])).toContainEqual([
      'heads',
      2,
    ]);
    expect(excluded).toEqual([{ site: 'lm_head', count: 32, reason: 'logits is an output of the model' }]);
    const words = await capture(['inspect', fixture('tiny-llama'), '--groups']);
    expect(words.out).toContain('What stays, and why');
  });
});

describe('sizes', () => {
  test('are read in falling order, once each', () => {
    expect(parseSizes('0.25, 0.75,0.5,0.25')).toEqual([0.75, 0.5, 0.25]);
    for (const wrong of ['', '1', '0', 'half', '0.5,,0.2']) expect(() => parseSizes(wrong)).toThrow(/shares/);
  });

  test('a size that a smaller one beats is not on the front', () => {
    const one = (size: number, value: number) => ({
      size,
      output: String(size),
      bytes: 1000 * size,
      metrics: [{ metric: 'perplexity', dataset: 'd', value, count: 1, better: 'lower' as const }],
    });
    const front = paretoFront([one(0.75, 5), one(0.5, 4.9), one(0.25, 9)]);
    expect(front.map(({ onFront }) => onFront)).toEqual([false, true, true]);
  });
});
