import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ActivationStore } from '../../src/execution/activation-store.ts';
import { arrayOfNumbers, floatArray } from '../../src/execution/arrays.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'modelpress-store-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const numbered = (length: number, first: number) =>
  floatArray(
    [length],
    Float32Array.from({ length }, (_, index) => first + index),
  );

describe('the store of activations', () => {
  test('keeps within its budget, spills what goes beyond, and gives everything back', () => {
    const store = new ActivationStore(directory, 100);
    for (let run = 0; run < 5; run++) store.put('x', run, numbered(10, 100 * run));
    expect(store.memoryBytes).toBe(80);
    expect(readdirSync(directory)).toHaveLength(1);
    for (let run = 0; run < 5; run++) expect(store.get('x', run)).toEqual(numbered(10, 100 * run));
    store.close();
    expect(readdirSync(directory)).toEqual([]);
  });

  test('uses freed memory again, and freed places of the file for arrays of about their size', () => {
    const store = new ActivationStore(directory, 40);
    store.put('x', 0, numbered(10, 0));
    store.put('x', 1, numbered(10, 1));
    store.free('x', 0);
    store.put('y', 0, numbered(10, 2));
    expect(store.memoryBytes).toBe(40);
    const { fileBytes } = store;
    expect(fileBytes).toBeGreaterThanOrEqual(40);
    store.free('x', 1);
    expect(() => store.get('x', 1)).toThrow(/no activation x/);
    store.put('z', 0, numbered(10, 3));
    expect(store.fileBytes).toBe(fileBytes);
    store.put('z', 1, numbered(40, 4));
    store.put('z', 2, numbered(11, 5));
    expect(store.fileBytes).toBeGreaterThan(fileBytes + 200);
    for (const [run, length] of [10, 40, 11].entries()) expect(store.get('z', run)).toEqual(numbered(length, 3 + run));
    store.close();
    expect(readdirSync(directory)).toEqual([]);
  });

  test('replaces an array under the same name and run', () => {
    const store = new ActivationStore(directory, 0);
    store.put('x', 0, numbered(3, 0));
    store.put('x', 0, numbered(5, 7));
    expect(store.get('x', 0)).toEqual(numbered(5, 7));
    store.close();
  });

  test('keeps element types and shapes, empty arrays too', () => {
    const store = new ActivationStore(directory, 0);
    const mask = arrayOfNumbers('bool', [2, 2], [1, 0, 0, 1]);
    const ids = arrayOfNumbers('int64', [1, 3], [7, 8, 2 ** 40]);
    const empty = floatArray([1, 2, 0, 4], new Float32Array(0));
    store.put('mask', 0, mask);
    store.put('ids', 0, ids);
    store.put('past', 0, empty);
    expect([store.get('mask', 0), store.get('ids', 0), store.get('past', 0)]).toEqual([mask, ids, empty]);
    store.close();
  });

  test('says so when the disk refuses', () => {
    const store = new ActivationStore(join(directory, 'missing'), 0);
    expect(() => store.put('x', 0, numbered(3, 0))).toThrow(expect.objectContaining({ code: 'resource' }));
  });
});
