import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CompressError } from '../../src/errors.ts';
import { load } from '../../src/kernels/addon.ts';
import { setThreads, threadCount } from '../../src/kernels/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'modelpress-addon-'));
afterAll(() => rmSync(folder, { recursive: true }));

const failure = (run: () => unknown): CompressError => {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(CompressError);
    return error as CompressError;
  }
  throw new Error('nothing was thrown');
};

describe('the native addon', () => {
  it('says what to type when it is not built', () => {
    const error = failure(() => load(join(folder, 'missing.node')));
    expect(error.code).toBe('unsupported');
    expect(error.message).toContain('there is no native addon');
    expect(error.hint).toContain('npm run build');
  });

  it('says why when it does not load', () => {
    const path = join(folder, 'broken.node');
    writeFileSync(path, 'no library');
    const error = failure(() => load(path));
    expect(error.message).toContain('does not load');
    expect(error.where.file).toBe(path);
    expect(error.hint).toContain('npm run build');
  });

  it('is refused when it was built from other sources', () => {
    const path = join(folder, 'other.cjs');
    writeFileSync(path, 'module.exports = { interfaceVersion: () => 0 };');
    expect(failure(() => load(path)).message).toContain('interface 0, expected 5');
  });

  it('runs in as many threads as it is told', () => {
    const before = threadCount();
    setThreads(3);
    expect(threadCount()).toBe(3);
    setThreads(0);
    expect(threadCount()).toBeGreaterThan(0);
    setThreads(before);
    expect(failure(() => setThreads(-1)).code).toBe('usage');
    expect(failure(() => setThreads(1.5)).code).toBe('usage');
  });
});
