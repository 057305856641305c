import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { Cache } from '../../src/recipe/cache.ts';
import { contentKey } from '../../src/recipe/cache-keys.ts';
import { takeLock } from '../../src/recipe/lock.ts';
import { filesBelow } from '../../src/recipe/store.ts';
import { freshFolder } from './tiny-run.ts';

let directory: string;
let cache: Cache;

beforeEach(() => {
  directory = freshFolder();
  cache = new Cache(directory);
});

const store = (key: string, text: string): Promise<void> =>
  cache.storeStage(key, { note: text }, async (folder) => writeFileSync(join(folder, 'weights.bin'), text));

describe('the stage cache', () => {
  test('gives back what was stored', async () => {
    await store('k', 'hello');
    const found = await cache.stage('k');
    expect(found?.facts).toEqual({ note: 'hello' });
    expect(readFileSync(join(found?.directory ?? '', 'weights.bin'), 'utf8')).toBe('hello');
    expect(await cache.stage('other')).toBeUndefined();
  });

  test('a failed store leaves nothing behind', async () => {
    const failing = cache.storeStage('k', {}, async (folder) => {
      writeFileSync(join(folder, 'half.bin'), 'half');
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await cache.stage('k')).toBeUndefined();
    expect(filesBelow(directory)).toEqual([]);
  });

  test('a damaged entry counts as missing and is removed', async () => {
    await store('k', 'hello');
    writeFileSync(join(directory, 'stages', 'k', 'model', 'weights.bin'), 'jello');
    expect(await cache.stage('k')).toBeUndefined();
    expect(existsSync(join(directory, 'stages', 'k'))).toBe(false);
  });

  test('scratch folders of dead processes are removed, of living ones kept', async () => {
    const dead = join(directory, 'tmp', '999999999-0');
    const living = join(directory, 'tmp', `${process.ppid}-0`);
    for (const folder of [dead, living]) mkdirSync(folder, { recursive: true });
    await cache.withScratch(async (scratch) => expect(existsSync(scratch)).toBe(true));
    expect(readdirSync(join(directory, 'tmp'))).toEqual([`${process.ppid}-0`]);
  });
});

describe('checkpoints and evaluations', () => {
  test('come back byte for byte, and not when damaged', () => {
    const checkpoints = cache.checkpoints('stage');
    checkpoints.put('block 3', new Uint8Array([1, 2, 3]));
    expect(checkpoints.get('block 3')).toEqual(new Uint8Array([1, 2, 3]));
    expect(checkpoints.get('block 4')).toBeUndefined();
    const [file] = filesBelow(join(directory, 'checkpoints'));
    truncateSync(file?.path ?? '', 34);
    expect(checkpoints.get('block 3')).toBeUndefined();
  });

  test('of a finished stage can be dropped', () => {
    cache.checkpoints('stage').put('a', new Uint8Array(4));
    cache.dropCheckpoints('stage');
    expect(cache.describe().checkpoints).toEqual({ entries: 0, bytes: 0 });
  });

  test('evaluations are plain JSON', () => {
    cache.storeEvaluation('e', [{ metric: 'perplexity', value: 5.5 }]);
    expect(cache.evaluation('e')).toEqual([{ metric: 'perplexity', value: 5.5 }]);
    expect(cache.evaluation('f')).toBeUndefined();
  });
});

describe('looking after the cache', () => {
  test('prune removes what was used longest ago', async () => {
    await store('old', 'x'.repeat(4000));
    await store('new', 'y'.repeat(4000));
    for (const { path } of filesBelow(join(directory, 'stages', 'old'))) utimesSync(path, new Date(0), new Date(0));
    const freed = cache.prune({ maxBytes: 9000 });
    expect(freed).toBeGreaterThan(4000);
    expect(await cache.stage('old')).toBeUndefined();
    expect(await cache.stage('new')).toBeDefined();
  });

  test('clear removes everything', async () => {
    await store('k', 'hello');
    cache.storeEvaluation('e', 1);
    expect(cache.clear()).toBeGreaterThan(0);
    expect(cache.describe()).toEqual({
      stages: { entries: 0, bytes: 0 },
      evaluations: { entries: 0, bytes: 0 },
      checkpoints: { entries: 0, bytes: 0 },
      statistics: { entries: 0, bytes: 0 },
    });
  });
});

describe('keys', () => {
  test('depend on content, not on the order of keys', () => {
    expect(contentKey({ a: 1, b: { c: 2, d: 3 } })).toBe(contentKey({ b: { d: 3, c: 2 }, a: 1 }));
    expect(contentKey([1, 2])).not.toBe(contentKey([2, 1]));
    expect(contentKey({ a: '1' })).not.toBe(contentKey({ a: 1 }));
  });
});

describe('the lock of an output', () => {
  test('is held by one at a time and given back', () => {
    const path = join(directory, 'locks', 'x');
    const release = takeLock(path, 'out');
    expect(() => takeLock(path, 'out')).toThrow(/already at work on out/);
    release();
    takeLock(path, 'out')();
  });

  test('of a process that is gone is taken over', () => {
    const path = join(directory, 'x');
    writeFileSync(path, '999999999');
    takeLock(path, 'out')();
    expect(existsSync(path)).toBe(false);
  });
});

describe('statistics', () => {
  test('are found again by the same tool only, and outlive the checkpoints of a stage', () => {
    cache.statistics('tool 1').put('entry/part', new Uint8Array([1, 2]));
    cache.dropCheckpoints('stage');
    expect(cache.statistics('tool 1').get('entry/part')).toEqual(new Uint8Array([1, 2]));
    expect(cache.statistics('tool 2').get('entry/part')).toBeUndefined();
    expect(cache.statistics('tool 1').get('entry/other')).toBeUndefined();
  });

  test('beyond their limit are dropped by whole entries, those used longest ago first', () => {
    const store = cache.statistics('tool');
    const root = join(directory, 'statistics');
    for (const part of ['a', 'b']) store.put(`old/${part}`, new Uint8Array(1000));
    const [old] = readdirSync(root);
    for (const { path } of filesBelow(join(root, old ?? ''))) utimesSync(path, new Date(0), new Date(0));
    for (const part of ['a', 'b']) store.put(`new/${part}`, new Uint8Array(1000));
    const after = cache.statistics('tool', 3000);
    expect(['old/a', 'old/b'].map((key) => after.get(key))).toEqual([undefined, undefined]);
    expect(['new/a', 'new/b'].map((key) => after.get(key)?.length)).toEqual([1000, 1000]);
  });

  test('do not push out stages when they are trimmed', async () => {
    await store('k', 'x'.repeat(4000));
    cache.statistics('tool', 10);
    expect(await cache.stage('k')).toBeDefined();
  });
});
