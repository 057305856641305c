import { describe, expect, it } from 'vitest';
import { PackedTensor } from '../../src/ir/packed-tensor.ts';
import { packRows, quantizeRtn } from '../../src/kernels/index.ts';
import { Random } from '../../src/random.ts';
import { shadowOf } from '../../src/stages/quantize/refine/shadow.ts';
import { optimizers } from '../../src/training/optimizers/table.ts';
import { ParameterSet } from '../../src/training/parameters.ts';
import { softRoundingWeight } from '../../src/training/weights/soft-rounding.ts';

const [rows, columns, groupSize] = [8, 32, 16];

const rounded = async (bits: 2 | 3): Promise<{ original: Float32Array; packed: PackedTensor }> => {
  const original = new Random(bits).normals(rows * columns);
  const { codes, scales, zeroPoints } = await quantizeRtn({
    weight: original,
    rows,
    columns,
    bits,
    groupSize,
    scheme: 'asymmetric',
  });
  const storedBits = bits === 3 ? 4 : bits;
  const packed = new PackedTensor({
    dtype: 'float32',
    shape: [rows, columns],
    layout: 'rows-first',
    rows,
    columns,
    bits,
    storedBits,
    groupSize,
    codes: packRows({ codes, rows, columns, bits: storedBits }),
    scales,
    zeroPoints,
    method: 'rtn',
  });
  return { original, packed };
};

const made = async (bits: 2 | 3, scales: 'learned' | 'fixed' = 'fixed') => {
  const { original, packed } = await rounded(bits);
  const progress = { share: 0 };
  const shadow = shadowOf(original, packed);
  const weight = softRoundingWeight('w', packed, shadow, { scales, progress, method: 'adaround' });
  return {
    original,
    packed,
    progress,
    shadow,
    weight,
    values: weight.parameters.map(({ initial }) => initial.slice()),
  };
};

/** Σ over rows of (w - w₀) H (w - w₀)ᵀ for an H with strong correlations, and its gradient. */
const correlatedError = (weight: Float32Array, original: Float32Array): { error: number; gradient: Float32Array } => {
  const gradient = new Float32Array(weight.length);
  let error = 0;
  for (let row = 0; row < rows; row++) {
    const offsets = Array.from(
      { length: columns },
      (_, at) => weight[row * columns + at]! - original[row * columns + at]!,
    );
    const sum = offsets.reduce((total, offset) => total + offset, 0);
    offsets.forEach((offset, at) => {
      error += offset * (0.2 * offset + sum);
      gradient[row * columns + at] = 2 * (0.2 * offset + sum);
    });
  }
  return { error, gradient };
};

describe('soft roundings', () => {
  it('begin as the weights themselves, and are judged and stored as the present integers', async () => {
    const { weight, values, packed, shadow } = await made(3);
    const fed = await weight.leaf(values);
    const { scales, zeroPoints } = packed.facts;
    fed.forEach((value, index) => {
      const group = Math.floor(index / groupSize);
      const place = shadow[index]! / scales[group]! + zeroPoints![group]!;
      const inside = Math.min(7, Math.max(0, place)) - zeroPoints![group]!;
      expect(value).toBeCloseTo(inside * scales[group]!, 4);
    });
    expect([...(await weight.judgedLeaf!(values))]).toEqual([...packed.matrix()]);
    const stored = (await weight.tensor(values)) as PackedTensor;
    expect(stored.facts.codes).toEqual(packed.facts.codes);
    expect(stored.facts.method).toBe('rtn+adaround');
  });

  it.each([2, 3] as const)(
    'of %d bits end at one of the two codes beside the original, wherever they are drawn',
    async (bits) => {
      const { original, packed, weight, values } = await made(bits);
      const random = new Random(9);
      const stored = (await weight.tensor([values[0]!.map(() => 100 * random.normal())])) as PackedTensor;
      const { scales, zeroPoints } = packed.facts;
      stored.unpackedCodes().forEach((code, index) => {
        const group = Math.floor(index / groupSize);
        const place = original[index]! / scales[group]! + zeroPoints![group]!;
        const inside = Math.min(2 ** bits - 1, Math.max(0, place));
        expect(Math.abs(code - inside)).toBeLessThan(1 + 1e-4);
      });
    },
  );

  it('have the gradient of what is fed, of sides and scales, while nothing draws them', async () => {
    const { weight, values } = await made(3, 'learned');
    const direction = new Random(4).normals(rows * columns);
    const value = async (moved: readonly Float32Array[]): Promise<number> =>
      (await weight.leaf(moved)).reduce((sum, fed, at) => sum + fed * direction[at]!, 0);
    const [ofSides, ofScales] = await weight.pullBack(values, direction.slice());
    const slope = async (parameter: number, index: number): Promise<number> => {
      const shifted = (by: number): Float32Array[] =>
        values.map((numbers, at) =>
          numbers.map((number, place) => (at === parameter && place === index ? number + by : number)),
        );
      return ((await value(shifted(0.01))) - (await value(shifted(-0.01)))) / 0.02;
    };
    for (const index of [0, 5, 77, 200]) expect(ofSides![index]).toBeCloseTo(await slope(0, index), 2);
    const damping = 1 / Math.sqrt(groupSize * 7);
    for (const index of [0, 3, 15]) expect(ofScales![index]).toBeCloseTo(damping * (await slope(1, index)), 2);
  });

  it('are all at a side when training ends, with less error than each weight rounded to its nearest code', async () => {
    const { original, packed, progress, weight } = await made(2);
    const parameters = new ParameterSet(weight.parameters);
    const optimizer = optimizers.adamw.create(parameters, {
      weightDecay: 0,
      beta1: 0.9,
      beta2: 0.99,
      epsilon: 1e-8,
      momentum: 0,
      stepSize: 'relative',
    });
    const steps = 300;
    for (let step = 1; step <= steps; step++) {
      progress.share = step / steps;
      const { gradient } = correlatedError(await weight.leaf([parameters.values]), original);
      const gradients = await weight.pullBack([parameters.values], gradient);
      optimizer.step(gradients, { step, learningRate: 0.01, gradientScale: 1 });
    }
    const fed = (await weight.leaf([parameters.values])).slice();
    const judged = (await weight.judgedLeaf!([parameters.values])).slice();
    expect(fed.filter((value, index) => Math.abs(value - judged[index]!) > 1e-6)).toHaveLength(0);
    const nearest = correlatedError(packed.matrix(), original).error;
    expect(correlatedError(judged, original).error).toBeLessThan(0.5 * nearest);
  });
});
