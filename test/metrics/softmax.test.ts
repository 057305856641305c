import { describe, expect, test } from 'vitest';
import { SampledMean } from '../../src/metrics/mean.ts';
import { scoreRows } from '../../src/metrics/softmax.ts';
import { Random } from '../../src/random.ts';

const softmax = (row: readonly number[]): number[] => {
  const total = row.reduce((sum, score) => sum + Math.exp(score), 0);
  return row.map((score) => Math.exp(score) / total);
};

describe('scores of rows', () => {
  test('are what the definition says', () => {
    const random = new Random(1, 'rows');
    const logits = random.normals(5 * 7, 2);
    const reference = random.normals(5 * 7, 2);
    const labels = Int32Array.of(0, 1, 2, 3, 6);
    const scores = scoreRows({ logits, classes: 7, labels, reference });
    for (let row = 0; row < 5; row++) {
      const q = softmax(Array.from(logits.subarray(7 * row, 7 * row + 7)));
      const p = softmax(Array.from(reference.subarray(7 * row, 7 * row + 7)));
      expect(scores.loss?.[row]).toBeCloseTo(-Math.log(q[labels[row]!]!), 10);
      expect(scores.divergence?.[row]).toBeCloseTo(
        p.reduce((sum, chance, index) => sum + chance * Math.log(chance / q[index]!), 0),
        10,
      );
      expect(scores.top[row]).toBe(q.indexOf(Math.max(...q)));
      expect(scores.referenceTop?.[row]).toBe(p.indexOf(Math.max(...p)));
      expect(scores.rank?.[row]).toBe(q.filter((chance) => chance > q[labels[row]!]!).length);
    }
  });

  test('do not change when a constant is added to a row, however large', () => {
    const logits = new Random(2, 'rows').normals(3 * 4, 1).map((score) => Math.fround(Math.round(score * 64) / 64));
    const shifted = logits.map((score) => score + 4096);
    const labels = Int32Array.of(1, 2, 3);
    const plain = scoreRows({ logits, classes: 4, labels, reference: logits });
    const moved = scoreRows({ logits: shifted, classes: 4, labels, reference: logits });
    for (let row = 0; row < 3; row++) {
      expect(moved.loss![row]).toBeCloseTo(plain.loss![row]!, 9);
      expect(moved.divergence![row]).toBeCloseTo(0, 9);
    }
  });

  test('have divergences that are never negative, and zero for equal rows', () => {
    const random = new Random(3, 'rows');
    for (let trial = 0; trial < 50; trial++) {
      const logits = random.normals(2 * 9, 3);
      expect(scoreRows({ logits, classes: 9, reference: logits }).divergence).toEqual(new Float64Array(2));
      for (const nats of scoreRows({ logits, classes: 9, reference: random.normals(2 * 9, 3) }).divergence!)
        expect(nats).toBeGreaterThan(0);
    }
  });

  test('count ties by class number, and survive impossible classes', () => {
    const scores = scoreRows({
      logits: Float32Array.of(1, 1, 1, 0),
      classes: 4,
      labels: Int32Array.of(2),
      reference: Float32Array.of(0, Number.NEGATIVE_INFINITY, 0, 0),
    });
    expect(scores.rank).toEqual(Int32Array.of(2));
    expect(scores.divergence![0]).toBeGreaterThan(0);
    expect(scores.divergence![0]).toBeLessThan(10);
  });
});

describe('means over samples', () => {
  test('weigh items, not samples', () => {
    const mean = new SampledMean();
    mean.add(10, 1);
    mean.add(0, 9);
    mean.add(0, 0);
    expect(mean.mean).toBe(1);
    expect(mean.count).toBe(10);
  });

  test('have the usual interval when every sample has one item, and none for a single sample', () => {
    const mean = new SampledMean();
    mean.add(1, 1);
    expect(mean.interval).toBeUndefined();
    for (const value of [2, 3, 6]) mean.add(value, 1);
    const deviation = Math.sqrt(((1 - 3) ** 2 + (2 - 3) ** 2 + 0 + (6 - 3) ** 2) / 3);
    expect(mean.interval).toBeCloseTo((1.959964 * deviation) / 2, 12);
  });

  test('lie within the interval of the truth nineteen times of twenty, though items of a sample depend on each other', () => {
    const random = new Random(4, 'coverage');
    let inside = 0;
    const trials = 1000;
    for (let trial = 0; trial < trials; trial++) {
      const mean = new SampledMean();
      for (let sample = 0; sample < 60; sample++) {
        const count = 1 + random.integer(20);
        const shared = random.normal();
        let sum = 0;
        for (let item = 0; item < count; item++) sum += shared + random.normal();
        mean.add(sum, count);
      }
      if (Math.abs(mean.mean) <= mean.interval!) inside++;
    }
    expect(inside / trials).toBeGreaterThan(0.92);
    expect(inside / trials).toBeLessThan(0.97);
  });
});
