import { describe, expect, it } from 'vitest';
import { gptq, hashBytes, quantizeRtn } from '../../src/kernels/index.ts';
import { Random } from '../../src/random.ts';

const weightOf = (rows: number, columns: number) => ({
  weight: new Random(1, 'job').normals(rows * columns),
  rows,
  columns,
  bits: 3,
  groupSize: 64,
  scheme: 'asymmetric' as const,
});

/** A search long enough to be stopped on the way. */
const longSearch = { grid: 10_000, maxShrink: 1, norm: 2.4 };

describe('long work', () => {
  it('leaves the event loop free', async () => {
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 1);
    await quantizeRtn({ ...weightOf(64, 512), clip: { ...longSearch, grid: 2000 } });
    clearInterval(timer);
    expect(turns).toBeGreaterThan(3);
  });

  it('stops when the signal aborts, soon and with the reason', async () => {
    const controller = new AbortController();
    const begin = performance.now();
    const work = quantizeRtn({ ...weightOf(2048, 512), clip: longSearch, signal: controller.signal });
    setTimeout(() => controller.abort('enough'), 20);
    await expect(work).rejects.toMatchObject({ code: 'interrupted', cause: 'enough' });
    expect(performance.now() - begin).toBeLessThan(20_000);
  });

  it('does not keep short work waiting', async () => {
    const controller = new AbortController();
    const work = quantizeRtn({ ...weightOf(2048, 512), clip: longSearch, signal: controller.signal });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const begin = performance.now();
    hashBytes(new Uint8Array(1 << 20));
    const waited = performance.now() - begin;
    controller.abort();
    await expect(work).rejects.toMatchObject({ code: 'interrupted' });
    expect(waited).toBeLessThan(2000);
  });

  it('does not begin under a signal that has aborted', async () => {
    const signal = AbortSignal.abort();
    await expect(quantizeRtn({ ...weightOf(2, 2), signal })).rejects.toMatchObject({ code: 'interrupted' });
  });

  it('tells how far it is, never going back, and ends with 1', async () => {
    const fractions: number[] = [];
    const columns = 256;
    const hessian = new Float64Array(columns * columns);
    for (let index = 0; index < columns; index++) hessian[index * (columns + 1)] = 1;
    await gptq({
      ...weightOf(1024, columns),
      clip: { ...longSearch, grid: 500 },
      hessian,
      actOrder: true,
      onProgress: (fraction) => fractions.push(fraction),
    });
    expect(fractions.at(-1)).toBe(1);
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
    expect(fractions.every((fraction) => fraction >= 0 && fraction <= 1)).toBe(true);
  });

  it('forgets the signal when it is done', async () => {
    const controller = new AbortController();
    const listeners: string[] = [];
    const { signal } = controller;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...given: Parameters<typeof add>) => {
      listeners.push('added');
      add(...given);
    };
    signal.removeEventListener = (...given: Parameters<typeof remove>) => {
      listeners.push('removed');
      remove(...given);
    };
    await quantizeRtn({ ...weightOf(2, 2), signal });
    expect(listeners).toEqual(['added', 'removed']);
  });
});
