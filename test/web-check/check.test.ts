import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findBrowser } from '../../src/web-check/runtimes.ts';
import { relativeDifference } from '../../src/web-check/wire.ts';
import { capture } from '../cli/capture.ts';
import { freshFolder } from '../recipe/tiny-run.ts';

const root = resolve(import.meta.dirname, '../..');
const model = join(root, 'fixtures/made/tiny-cnn/model.onnx');
const places = ['node', ...(findBrowser() === undefined ? [] : ['browser'])];

interface Found {
  readonly ok: boolean;
  readonly rows: readonly { variant: string; status: string; error?: string; difference?: number }[];
}

describe('the difference of outputs', () => {
  test('is a share of the greatest value, and infinite where lengths or NaN differ', () => {
    expect(relativeDifference(Float32Array.of(1, -4), Float32Array.of(1, -4))).toBe(0);
    expect(relativeDifference(Float32Array.of(1, -4), Float32Array.of(1, -3))).toBeCloseTo(0.25, 12);
    expect(relativeDifference(Float32Array.of(1), Float32Array.of(1, 2))).toBe(Number.POSITIVE_INFINITY);
    expect(relativeDifference(Float32Array.of(1), Float32Array.of(Number.NaN))).toBe(Number.POSITIVE_INFINITY);
  });
});

describe.skipIf(!existsSync(model)).each(places)('compress check --target web --in %s', (place) => {
  test('runs every variant and says which of them fails', async () => {
    const broken = join(freshFolder(), 'broken');
    mkdirSync(join(broken, 'dist'), { recursive: true });
    writeFileSync(join(broken, 'package.json'), '{ "version": "0.0.0" }');
    for (const file of ['ort.node.min.mjs', 'ort.wasm.min.mjs'])
      writeFileSync(join(broken, 'dist', file), "throw new Error('this version does not start')");
    const bad = await capture(['check', model, '--in', place, '--runtime', broken, '--json'], root);
    expect(bad.exitCode, bad.err).toBe(3);
    expect((JSON.parse(bad.out) as Found).rows[0]).toMatchObject({
      status: 'fails',
      error: expect.stringContaining('does not start'),
    });
    const good = await capture(['check', model, '--in', place, '--json'], root);
    expect(good.exitCode, good.err).toBe(0);
    const found = JSON.parse(good.out) as Found;
    expect(found.rows).toEqual([expect.objectContaining({ variant: 'model.onnx', status: 'ok' })]);
    expect(found.rows[0]?.difference).toBeLessThan(1e-4);
  });

  test('an output without a model says what to name', async () => {
    const { exitCode, err } = await capture(['check', freshFolder(), '--in', place], root);
    expect(exitCode).toBe(2);
    expect(err).toContain('holds no .onnx file');
  });
});
