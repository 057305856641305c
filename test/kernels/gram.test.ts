import { describe, expect, it } from 'vitest';
import { CrossGram, GramAccumulator } from '../../src/kernels/index.ts';
import { Random } from '../../src/random.ts';
import { correlatedSamples, greatestDifference, plainGram } from './matrices.ts';

/** The greatest |A_ij - B_ij| / √(B_ii B_jj): what rounding of sums of products is measured by. */
const relativeDifference = (a: Float64Array, b: Float64Array, n: number): number => {
  const scales = Float64Array.from({ length: n }, (_, i) => Math.sqrt(b[i * (n + 1)]!));
  const scaled = (matrix: Float64Array): Float64Array =>
    matrix.map((value, index) => value / (scales[Math.floor(index / n)]! * scales[index % n]!));
  return greatestDifference(scaled(a), scaled(b));
};

describe('a Gram accumulator', () => {
  it('holds the sum of outer products, the mean and the count of all samples', async () => {
    const [rows, n] = [1500, 37];
    const x = correlatedSamples(rows, n, 1);
    const gram = new GramAccumulator(n);
    await gram.add(x.subarray(0, 1000 * n), 1000);
    await gram.add(x.subarray(1000 * n), 500);
    const expected = plainGram(x, n);
    expect(gram.count).toBe(rows);
    expect(relativeDifference(gram.matrix(), expected, n)).toBeLessThan(4e-6);
    expect([...gram.diagonal()]).toEqual(Array.from({ length: n }, (_, i) => gram.matrix()[i * (n + 1)]));
    const mean = Float64Array.from({ length: n }, (_, column) => {
      let sum = 0;
      for (let row = 0; row < rows; row++) sum += x[row * n + column]!;
      return sum / rows;
    });
    expect(greatestDifference(gram.mean(), mean)).toBeLessThan(1e-9);
  });

  it('is exact to double precision where that is asked for', async () => {
    const x = correlatedSamples(2000, 20, 2);
    const gram = new GramAccumulator(20);
    await gram.add(x, 2000, { exact: true });
    expect(greatestDifference(gram.matrix(), plainGram(x, 20))).toBeLessThan(1e-8);
  });

  it('adds in the order of the calls, and is not read before they are awaited', async () => {
    const x = correlatedSamples(3000, 16, 3);
    const parts = [0, 1, 2].map((part) => x.subarray(part * 16_000, (part + 1) * 16_000));
    const awaited = new GramAccumulator(16);
    for (const part of parts) await awaited.add(part, 1000);
    const together = new GramAccumulator(16);
    const additions = parts.map((part) => together.add(part, 1000));
    expect(() => together.matrix()).toThrow(/before its additions were awaited/);
    await Promise.all(additions);
    expect(together.matrix()).toEqual(awaited.matrix());
  });

  it('comes back from its bytes and merges with others', async () => {
    const x = correlatedSamples(2048, 150, 4);
    const [first, second, whole] = [new GramAccumulator(150), new GramAccumulator(150), new GramAccumulator(150)];
    await first.add(x.subarray(0, 1024 * 150), 1024);
    await second.add(x.subarray(1024 * 150), 1024);
    await whole.add(x, 2048);
    const restored = GramAccumulator.fromBytes(first.toBytes());
    restored.merge(second);
    expect(restored.n).toBe(150);
    expect(restored.count).toBe(2048);
    expect(restored.matrix()).toEqual(whole.matrix());
    expect(() => GramAccumulator.fromBytes(first.toBytes().subarray(1))).toThrow(/no saved Gram matrix/);
    expect(() => restored.merge(new GramAccumulator(3))).toThrow(/within 150 and 150/);
  });

  it('refuses samples that are not finite, adds nothing of them, and goes on', async () => {
    const gram = new GramAccumulator(3);
    await expect(gram.add(Float32Array.of(1, 2, 3, 4, Number.NaN, 6), 2)).rejects.toMatchObject({
      code: 'numeric',
      message: 'the activations are not finite: column 1 of sample 1 is NaN',
    });
    expect(gram.count).toBe(0);
    await gram.add(Float32Array.of(1, 2, 3), 1);
    expect([...gram.matrix()]).toEqual([1, 2, 3, 2, 4, 6, 3, 6, 9]);
    await expect(gram.add(new Float32Array(4), 1)).rejects.toMatchObject({ code: 'internal' });
    await expect(gram.add(Float32Array.of(1, 2, 3), 1, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'interrupted',
    });
    expect(gram.count).toBe(1);
  });
});

describe('a released accumulator', () => {
  it('finishes what is under way and refuses everything after', async () => {
    const gram = new GramAccumulator(64);
    const addition = gram.add(correlatedSamples(2000, 64, 7), 2000);
    gram.release();
    await addition.catch(() => undefined);
    expect(() => gram.matrix()).toThrow(/after its release/);
    await expect(gram.add(new Float32Array(64), 1)).rejects.toMatchObject({ code: 'internal' });
    gram.release();
  });
});

describe('the Gram matrix of a convolution', () => {
  /** A direct convolution of one image set, one group, by its definition: the plain twin. */
  const convolve = (
    x: Float32Array,
    filter: Float32Array,
    layout: { batch: number; channels: number; height: number; width: number; groups: number; group: number },
    {
      kernel,
      strides,
      dilations,
      pads,
    }: Record<'kernel' | 'strides' | 'dilations', readonly [number, number]> & {
      pads: readonly [number, number, number, number];
    },
  ): number[] => {
    const { batch, channels, height, width, groups, group } = layout;
    const along = (axis: 0 | 1, size: number): number =>
      Math.floor((size + pads[axis] + pads[axis + 2]! - dilations[axis] * (kernel[axis] - 1) - 1) / strides[axis]) + 1;
    const outputs: number[] = [];
    const perGroup = channels / groups;
    for (let image = 0; image < batch; image++)
      for (let top = 0; top < along(0, height); top++)
        for (let left = 0; left < along(1, width); left++) {
          let sum = 0;
          let at = 0;
          for (let channel = group * perGroup; channel < (group + 1) * perGroup; channel++)
            for (let i = 0; i < kernel[0]; i++)
              for (let j = 0; j < kernel[1]; j++) {
                const row = top * strides[0] - pads[0] + i * dilations[0];
                const column = left * strides[1] - pads[1] + j * dilations[1];
                const inside = row >= 0 && row < height && column >= 0 && column < width;
                sum += inside ? x[((image * channels + channel) * height + row) * width + column]! * filter[at]! : 0;
                at += 1;
              }
          outputs.push(sum);
        }
    return outputs;
  };

  it('turns a filter into the sum of squares of its outputs', async () => {
    const random = new Random(8, 'convolution');
    const layout = { batch: 3, channels: 4, height: 9, width: 11, groups: 2, group: 1 };
    const shapes = [
      { kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [1, 1, 1, 1] },
      { kernel: [2, 3], strides: [2, 3], dilations: [3, 1], pads: [0, 2, 1, 0] },
      { kernel: [1, 1], strides: [1, 2], dilations: [1, 1], pads: [0, 0, 0, 0] },
    ] as const;
    const x = random.normals(layout.batch * layout.channels * layout.height * layout.width);
    for (const shape of shapes) {
      const n = 2 * shape.kernel[0] * shape.kernel[1];
      const gram = new GramAccumulator(n);
      await gram.addPatches(x, { ...layout, ...shape });
      const filter = random.normals(n);
      const outputs = convolve(x, filter, layout, shape);
      const matrix = gram.matrix();
      let energy = 0;
      for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) energy += filter[i]! * matrix[i * n + j]! * filter[j]!;
      expect(gram.count).toBe(outputs.length);
      expect(energy / outputs.reduce((sum, output) => sum + output * output, 0)).toBeCloseTo(1, 5);
    }
  });

  it('refuses layouts that do not fit', async () => {
    const layout = {
      batch: 1,
      channels: 4,
      height: 5,
      width: 5,
      kernel: [3, 3],
      strides: [1, 1],
      dilations: [1, 1],
      pads: [0, 0, 0, 0],
    } as const;
    const gram = new GramAccumulator(36);
    const x = new Float32Array(100);
    await expect(gram.addPatches(x, { ...layout, groups: 3 })).rejects.toMatchObject({ code: 'internal' });
    await expect(gram.addPatches(x, { ...layout, groups: 2 })).rejects.toMatchObject({ code: 'internal' });
    await expect(gram.addPatches(x.subarray(1), layout)).rejects.toMatchObject({ code: 'internal' });
    await gram.addPatches(x, layout);
    expect(gram.count).toBe(9);
  });
});

describe('a cross moment', () => {
  it('holds the sum of products of two views of the same samples', async () => {
    const [rows, m, n] = [1100, 5, 9];
    const [full, x] = [correlatedSamples(rows, m, 5), correlatedSamples(rows, n, 6)];
    const cross = new CrossGram(m, n);
    await cross.add(full.subarray(0, 100 * m), x.subarray(0, 100 * n), 100);
    const rest = new CrossGram(m, n);
    await rest.add(full.subarray(100 * m), x.subarray(100 * n), 1000);
    cross.merge(rest);
    const expected = new Float64Array(m * n);
    for (let row = 0; row < rows; row++)
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++) expected[i * n + j]! += full[row * m + i]! * x[row * n + j]!;
    expect(cross.count).toBe(rows);
    expect(greatestDifference(cross.matrix(), expected) / rows).toBeLessThan(1e-5);
  });
});
