import { describe, expect, it } from 'vitest';
import { difference, Histogram, minMax, minMaxPerChannel, softmaxMetrics } from '../../src/kernels/index.ts';
import { Random } from '../../src/random.ts';

describe('ranges', () => {
  it('are those of the finite values, the others are counted', () => {
    expect(minMax(Float32Array.of(3, -2, Number.NaN, Number.POSITIVE_INFINITY, 1))).toEqual({
      minimum: -2,
      maximum: 3,
      nonFinite: 2,
    });
    expect(minMax(new Float32Array(0))).toEqual({ minimum: Infinity, maximum: -Infinity, nonFinite: 0 });
  });

  it('are found per channel wherever the channels lie', () => {
    const values = Float32Array.of(1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6);
    expect(minMaxPerChannel(values, { outer: 2, channels: 3, inner: 2 })).toEqual({
      minimum: Float32Array.of(-2, -4, -6),
      maximum: Float32Array.of(2, 4, 6),
      nonFinite: 0,
    });
    expect(minMaxPerChannel(values, { outer: 6, channels: 2, inner: 1 })).toEqual({
      minimum: Float32Array.of(-5, -6),
      maximum: Float32Array.of(5, 6),
      nonFinite: 0,
    });
    expect(() => minMaxPerChannel(values, { outer: 5, channels: 2, inner: 1 })).toThrow(/12 elements/);
  });
});

describe('a histogram', () => {
  it('counts bins over the least power of two that holds all values', () => {
    const histogram = new Histogram(8);
    histogram.add(Float32Array.of(0, 1, -1, 0.25, 0.24, -0.01, Number.NaN));
    expect(histogram.range).toBe(1);
    expect([...histogram.counts()]).toEqual([1, 0, 0, 1, 2, 1, 0, 1]);
    histogram.add(Float32Array.of(3));
    expect(histogram.range).toBe(4);
    expect([...histogram.counts()]).toEqual([0, 0, 0, 2, 4, 0, 0, 1]);
    expect(histogram.extremes).toEqual({ minimum: -1, maximum: 3, nonFinite: 1 });
  });

  it('does not depend on how the stream is divided and ordered', () => {
    const random = new Random(2, 'stream');
    const values = random.normals(30_000).map((value) => value * 10 ** (4 * random.float()));
    const whole = new Histogram();
    whole.add(values);
    const [front, back] = [new Histogram(), new Histogram()];
    back.add(values.subarray(20_000));
    for (let begin = 0; begin < 20_000; begin += 500) front.add(values.subarray(begin, begin + 500));
    back.merge(front);
    expect(back.range).toBe(whole.range);
    expect(back.counts()).toEqual(whole.counts());
    expect(whole.counts().reduce((sum, count) => sum + count, 0)).toBe(values.length);
  });

  it('refuses bins that cannot merge by twos', () => {
    expect(() => new Histogram(6)).toThrow(/quarter of the bins/);
    const histogram = new Histogram(8);
    expect(() => histogram.merge(histogram)).toThrow(/itself/);
    expect(() => histogram.merge(new Histogram(4))).toThrow(/bins/);
  });
});

describe('the difference of two arrays', () => {
  it('is the sums that noise ratios and cosines are made of', () => {
    expect(difference(Float32Array.of(1, 2, -3), Float32Array.of(1.5, 2, -1))).toEqual({
      signal: 14,
      noise: 4.25,
      dot: 8.5,
      other: 7.25,
      greatest: 2,
    });
    expect(() => difference(new Float32Array(2), new Float32Array(3))).toThrow(/3 elements/);
  });
});

describe('metrics of distributions', () => {
  const [rows, vocabulary] = [30, 257];
  const logits = new Random(3, 'logits').normals(rows * vocabulary, 4);
  const reference = logits.map((value, index) => value + Math.sin(index));
  const labels = Int32Array.from({ length: rows }, (_, row) => (row * 17) % vocabulary);

  const distribution = (values: Float32Array): number[] => {
    const greatest = Math.max(...values);
    const weights = Array.from(values, (value) => Math.exp(value - greatest));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return weights.map((weight) => weight / total);
  };

  it('agree with their definitions', async () => {
    const found = await softmaxMetrics({ logits, labels, reference });
    for (let row = 0; row < rows; row++) {
      const q = distribution(logits.subarray(row * vocabulary, (row + 1) * vocabulary));
      const p = distribution(reference.subarray(row * vocabulary, (row + 1) * vocabulary));
      const kl = p.reduce((sum, share, token) => sum + share * Math.log(share / q[token]!), 0);
      const best = (shares: number[]): number => shares.indexOf(Math.max(...shares));
      expect(found.nll[row]).toBeCloseTo(-Math.log(q[labels[row]!]!), 11);
      expect(found.kl?.[row]).toBeCloseTo(kl, 11);
      expect(found.top1[row]).toBe(best(q) === labels[row] ? 1 : 0);
      expect(found.agree?.[row]).toBe(best(q) === best(p) ? 1 : 0);
    }
  });

  it('come without divergence where there is no reference', async () => {
    const found = await softmaxMetrics({ logits, labels });
    expect(found.kl).toBeUndefined();
    expect(found.agree).toBeUndefined();
    expect(await softmaxMetrics({ logits: new Float32Array(0), labels: new Int32Array(0) })).toMatchObject({
      nll: new Float64Array(0),
    });
  });

  it('name the row of a label outside the vocabulary and of logits that are not numbers', async () => {
    const bad = labels.slice();
    bad[4] = vocabulary;
    await expect(softmaxMetrics({ logits, labels: bad })).rejects.toMatchObject({
      code: 'numeric',
      message: 'row 4: label 257 is outside the vocabulary of 257',
    });
    const broken = logits.slice();
    broken[7 * vocabulary + 3] = Number.NaN;
    await expect(softmaxMetrics({ logits: broken, labels })).rejects.toMatchObject({
      message: expect.stringContaining('row 7'),
    });
  });
});
