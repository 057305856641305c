import { describe, expect, it } from 'vitest';
import type { Dataset } from '../../src/calibration/dataset.ts';
import type { Binding } from '../../src/execution/feeds.ts';
import { collate, type PlainSample, SampleOrder, splitSamples } from '../../src/training/batches.ts';
import { rationaleWeights } from '../../src/training/rationale.ts';

const window = (...ids: number[]): PlainSample => ({
  kind: 'tokens',
  ids: Int32Array.from(ids),
  scored: Uint8Array.from(ids, (_, index) => (index === 0 ? 0 : 1)),
});

const binding: Binding = {
  idsInput: 'input_ids',
  vocabulary: 100,
  signature: [
    { name: 'input_ids', dtype: 'int64', shape: ['batch', 'length'] },
    { name: 'attention_mask', dtype: 'int64', shape: ['batch', 'length'] },
  ],
};

const numbers = (length: number): Dataset => ({
  description: 'numbers',
  fingerprint: '',
  length,
  sample: async (index) => window(1, index),
});

describe('a batch of windows', () => {
  const batch = collate(
    [
      { index: 4, sample: window(1, 7, 8), origin: 'dataset' },
      { index: 9, sample: window(1, 5, 6, 7, 8), origin: 'dataset' },
    ],
    binding,
    'data',
  );

  it('is padded at the end, hidden there, and predicts the next token where one is scored', () => {
    expect([...batch.feeds.get('input_ids')!.data].map(Number)).toEqual([1, 7, 8, 0, 0, 1, 5, 6, 7, 8]);
    expect([...batch.feeds.get('attention_mask')!.data].map(Number)).toEqual([1, 1, 1, 0, 0, 1, 1, 1, 1, 1]);
    expect(batch.feeds.get('input_ids')!.shape).toEqual([2, 5]);
    expect([...batch.rows.labels].map(Number)).toEqual([7, 8, 0, 0, 0, 5, 6, 7, 8, 0]);
    expect([...batch.rows.weights]).toEqual([1, 1, 0, 0, 0, 1, 1, 1, 1, 0]);
    expect(batch).toMatchObject({ length: 5, lengths: [3, 5], samples: [{ index: 4 }, { index: 9 }] });
  });

  it('names the sample whose tokens the model does not know', () => {
    const unknown = { index: 3, sample: window(1, 200), origin: 'dataset' } as const;
    expect(() => collate([unknown], binding, 'data')).toThrow(/sample 3 of data.*200/);
  });
});

describe('a rationale', () => {
  const rationale = { begin: [90, 91], end: [92], weight: 0.25 };

  it('weighs from its first marker to its last, or to the end of the window', () => {
    expect([...rationaleWeights(Int32Array.of(5, 90, 91, 6, 92, 7, 90, 8, 90, 91, 9), rationale)]).toEqual([
      1, 0.25, 0.25, 0.25, 0.25, 1, 1, 1, 0.25, 0.25, 0.25,
    ]);
  });

  it('weighs the predictions of its tokens', () => {
    const sample = { index: 0, sample: window(1, 90, 91, 6, 92, 7), origin: 'dataset' } as const;
    expect([...collate([sample], binding, 'data', rationale).rows.weights]).toEqual([0.25, 0.25, 0.25, 0.25, 1, 0]);
  });
});

describe('the order of samples', () => {
  it('shows every sample once an epoch, in another order each time, decided by the seed', () => {
    const order = new SampleOrder([2, 3, 5, 7, 11], 1);
    const epochs = [0, 1, 2, 3].map((epoch) => order.take(epoch * 5, epoch * 5 + 5));
    for (const epoch of epochs) expect([...epoch].sort((a, b) => a - b)).toEqual([2, 3, 5, 7, 11]);
    expect(new Set(epochs.map(String)).size).toBeGreaterThan(1);
    expect(new SampleOrder([2, 3, 5, 7, 11], 1).take(7, 13)).toEqual([
      ...epochs[1]!.slice(2),
      ...epochs[2]!.slice(0, 3),
    ]);
    expect(new SampleOrder([2, 3, 5, 7, 11], 2).take(0, 20)).not.toEqual(epochs.flat());
  });
});

describe('held-out samples', () => {
  it('are never trained on, and at least four or a quarter of few', () => {
    const { train, held } = splitSamples(numbers(30), { share: 0.1, batch: 4, seed: 0 });
    expect(held).toHaveLength(4);
    expect([...train, ...held].sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, index) => index));
    expect(splitSamples(numbers(5), { share: 0.01, batch: 1, seed: 0 }).held).toHaveLength(1);
    expect(splitSamples(numbers(5), { share: 0, batch: 5, seed: 0 }).held).toHaveLength(0);
  });

  it('must leave enough for a batch', () => {
    const split = () => splitSamples(numbers(8), { share: 0.1, batch: 8, seed: 0 });
    expect(split).toThrow(/8 samples are too few for a batch of 8 with 2 held out/);
  });
});
