import { describe, expect, it } from 'vitest';
import { PackedTensor } from '../../src/ir/packed-tensor.ts';
import { readFloats } from '../../src/ir/read.ts';
import { packRows, quantizeRtn } from '../../src/kernels/index.ts';
import { Random } from '../../src/random.ts';
import { shadowOf } from '../../src/stages/quantize/refine/shadow.ts';
import { lowRankWeight } from '../../src/training/weights/low-rank.ts';
import { plainWeight } from '../../src/training/weights/plain.ts';
import { quantizedWeight } from '../../src/training/weights/quantized.ts';
import { roundingWeight } from '../../src/training/weights/rounding.ts';
import { scaledWeight } from '../../src/training/weights/scaled.ts';
import type { TrainedWeight } from '../../src/training/weights/weight.ts';
import { differences } from './run-loss.ts';

const initialOf = (weight: TrainedWeight): Float32Array[] => weight.parameters.map(({ initial }) => initial.slice());

const packed = async (bits: 2 | 3 | 4, layout: 'rows-first' | 'rows-last'): Promise<PackedTensor> => {
  const [rows, columns, groupSize] = [6, 40, 16];
  const weight = new Random(bits).normals(rows * columns);
  const { codes, scales, zeroPoints } = await quantizeRtn({
    weight,
    rows,
    columns,
    bits,
    groupSize,
    scheme: 'asymmetric',
  });
  const storedBits = bits === 3 ? 4 : bits;
  return new PackedTensor({
    dtype: 'float32',
    shape: layout === 'rows-first' ? [rows, columns] : [columns, rows],
    layout,
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
};

describe('a plain weight', () => {
  it('is fed as the very memory that is trained, and results have memory of their own', async () => {
    const initial = Float32Array.of(1, 2, 3, 4);
    const weight = plainWeight('w', [2, 2], initial, 'matrix');
    expect(await weight.leaf([initial])).toBe(initial);
    const tensor = await weight.tensor([initial]);
    initial[0] = 9;
    expect([...readFloats(tensor)]).toEqual([1, 2, 3, 4]);
  });
});

describe.each([2, 3, 4] as const)('a %d-bit weight in training', (bits) => {
  it.each(['rows-first', 'rows-last'] as const)('starts as what it was, codes and all (%s)', async (layout) => {
    const tensor = await packed(bits, layout);
    const weight = quantizedWeight('w', tensor, { scales: 'learned', zeros: 'fixed', method: 'qad' });
    const values = initialOf(weight);
    expect([...(await weight.leaf(values))]).toEqual([...tensor.matrix()]);
    const result = (await weight.tensor(values)) as PackedTensor;
    expect(result.facts.codes).toEqual(tensor.facts.codes);
    expect(result.facts.scales).toEqual(tensor.facts.scales);
    expect(result.facts.zeroPoints).toEqual(tensor.facts.zeroPoints);
    expect(result.shape).toEqual(tensor.shape);
  });

  it('is fed with exactly what its result stands for, wherever training has gone', async () => {
    const weight = quantizedWeight('w', await packed(bits, 'rows-last'), {
      scales: 'learned',
      zeros: 'fixed',
      method: 'qad',
    });
    const random = new Random(3);
    const [shadow, factors] = initialOf(weight) as [Float32Array, Float32Array];
    const moved = [
      shadow.map((value) => value + random.normal()),
      factors.map((value) => value + 0.2 * random.normal()),
    ];
    const fed = (await weight.leaf(moved)).slice();
    expect([...((await weight.tensor(moved)) as PackedTensor).matrix()]).toEqual([...fed]);
  });

  it('has the gradient of its scales where no code changes', async () => {
    const tensor = await packed(bits, 'rows-first');
    const weight = quantizedWeight('w', tensor, { scales: 'learned', zeros: 'fixed', method: 'qad' });
    const [shadow, factors] = initialOf(weight) as [Float32Array, Float32Array];
    // Far beyond the ends of the grid the codes stay, and scales alone decide.
    const far = shadow.map((_, index) => (index % 2 === 0 ? 1000 : -1000));
    const direction = new Random(4).normals(far.length);
    const [, gradient] = await weight.pullBack([far, factors], direction.slice());
    const expected: number[] = [];
    for (let index = 0; index < factors.length; index++) {
      const moved = async (by: number): Promise<number> => {
        const leaf = await weight.leaf([far, factors.map((value, at) => (at === index ? value + by : value))]);
        return leaf.reduce((sum, value, at) => sum + value * direction[at]!, 0);
      };
      expected.push(((await moved(0.01)) - (await moved(-0.01))) / 0.02);
    }
    const damping = 1 / Math.sqrt(16 * (2 ** bits - 1));
    expected.forEach((slope, index) => {
      expect(gradient![index]).toBeCloseTo(slope * damping, 3);
    });
  });

  it('keeps its scales when they are fixed', async () => {
    const tensor = await packed(bits, 'rows-first');
    const weight = quantizedWeight('w', tensor, { scales: 'fixed', zeros: 'fixed', method: 'qad' });
    expect(weight.parameters).toHaveLength(1);
    const [shadow] = initialOf(weight) as [Float32Array];
    const result = (await weight.tensor([shadow.map((value) => -value)])) as PackedTensor;
    expect(result.facts.scales).toEqual(tensor.facts.scales);
    expect(result.facts.codes).not.toEqual(tensor.facts.codes);
  });
});

describe('learned zero points', () => {
  const options = { scales: 'learned', zeros: 'learned', method: 'qad' } as const;

  it('are rounded to whole codes of the grid in what is fed and in the result', async () => {
    const tensor = await packed(3, 'rows-first');
    const weight = quantizedWeight('w', tensor, options);
    expect(weight.parameters.map(({ name }) => name)).toEqual(['w', 'w#scales', 'w#zeros']);
    const [shadow, factors, zeros] = initialOf(weight) as [Float32Array, Float32Array, Float32Array];
    const moved = zeros.map((zero, index) => (index === 0 ? 99 : zero + 0.7));
    const fed = (await weight.leaf([shadow, factors, moved])).slice();
    const result = (await weight.tensor([shadow, factors, moved])) as PackedTensor;
    expect([...result.matrix()]).toEqual([...fed]);
    expect(result.facts.zeroPoints![0]).toBe(7);
    expect(result.facts.zeroPoints![1]).toBe(Math.min(7, Math.round(zeros[1]! + 0.7)));
  });

  it('have the gradient of weights beyond the ends of the grid: minus the scale for each', async () => {
    const tensor = await packed(2, 'rows-first');
    const weight = quantizedWeight('w', tensor, options);
    const [shadow, factors, zeros] = initialOf(weight) as [Float32Array, Float32Array, Float32Array];
    const far = shadow.map((value, index) => (index === 3 ? 1000 : value));
    const direction = new Float32Array(shadow.length).fill(2);
    const [, , gradient] = await weight.pullBack([far, factors, zeros], direction);
    const damping = 1 / Math.sqrt(16 * 3);
    expect(gradient![0]).toBeCloseTo(-2 * tensor.facts.scales[0]! * damping, 5);
    for (const slope of gradient!.subarray(1)) expect(Math.abs(slope)).toBeLessThan(1e-5);
  });

  it('are none where the grid has none', async () => {
    const tensor = await packed(4, 'rows-first');
    const symmetric = new PackedTensor({ ...tensor.facts, zeroPoints: null });
    const weight = quantizedWeight('w', symmetric, options);
    expect(weight.parameters).toHaveLength(2);
    expect(((await weight.tensor(initialOf(weight))) as PackedTensor).facts.zeroPoints).toBeNull();
  });
});

describe('rounding that is trained', () => {
  const options = { scales: 'fixed', zeros: 'fixed', method: 'auto-round' } as const;

  it('starts as what it was and moves every weight by one code at most', async () => {
    const tensor = await packed(3, 'rows-last');
    const weight = roundingWeight('w', tensor, tensor.matrix(), options);
    const [offsets] = initialOf(weight) as [Float32Array];
    expect([...(await weight.leaf([offsets]))]).toEqual([...tensor.matrix()]);
    const random = new Random(6);
    const wild = offsets.map(() => 100 * random.normal());
    const result = (await weight.tensor([wild])) as PackedTensor;
    expect(Math.max(...wild.map(Math.abs))).toBe(0.5);
    const [old, young] = [tensor.unpackedCodes(), result.unpackedCodes()];
    expect(Math.max(...young.map((code, index) => Math.abs(code - old[index]!)))).toBeLessThanOrEqual(1);
  });

  it('has the gradient of the weights times the step of the grid', async () => {
    const tensor = await packed(4, 'rows-first');
    const weight = roundingWeight('w', tensor, tensor.matrix(), options);
    const [offsets] = initialOf(weight) as [Float32Array];
    const [gradient] = await weight.pullBack([offsets], new Float32Array(offsets.length).fill(3));
    expect(gradient![0]).toBeCloseTo(3 * tensor.facts.scales[0]!, 6);
    expect(gradient![39]).toBeCloseTo(3 * tensor.facts.scales[2]!, 6);
  });

  it('begins on the side of each integer where the original weight lies', async () => {
    const tensor = await packed(3, 'rows-first');
    const original = tensor
      .matrix()
      .map((value, index) => value + (index % 2 === 0 ? 0.2 : -3) * tensor.facts.scales[0]!);
    const shadow = shadowOf(original, tensor);
    const weight = roundingWeight('w', tensor, shadow, options);
    expect([...(await weight.leaf(initialOf(weight)))]).toEqual([...tensor.matrix()]);
    expect(shadow[0]).toBeCloseTo(original[0]!, 5);
    expect(shadow[1]! - tensor.matrix()[1]!).toBeCloseTo(-0.49 * tensor.facts.scales[0]!, 5);
  });
});

describe('scales alone', () => {
  it('are trained by their derivative, the integers stay', async () => {
    const tensor = await packed(2, 'rows-first');
    const weight = scaledWeight('w', tensor, 'scales');
    const [factors] = initialOf(weight) as [Float32Array];
    const direction = new Random(4).normals(240);
    const value = async (of: Float32Array): Promise<number> =>
      (await weight.leaf([of])).reduce((sum, number, index) => sum + number * direction[index]!, 0);
    const [gradient] = await weight.pullBack([factors], direction);
    for (const index of [0, 5, 17]) {
      const moved = async (by: number): Promise<number> => value(factors.with(index, 1 + by));
      expect(gradient![index]).toBeCloseTo(((await moved(0.5)) - (await moved(-0.5))) / 1, 3);
    }
    const result = (await weight.tensor([factors.map((_, index) => 1 + index / 100)])) as PackedTensor;
    expect(result.facts.codes).toEqual(tensor.facts.codes);
    expect([...result.matrix()]).toEqual([...(await weight.leaf([factors.map((_, index) => 1 + index / 100)]))]);
  });
});

describe('a low-rank adapter', () => {
  const shape = [5, 2, 3];
  const base = new Random(1).normals(30);
  const weight = lowRankWeight('w', shape, base, { rank: 2, alpha: 6, random: new Random(2) });
  const random = new Random(3);
  const values = initialOf(weight).map((array) => array.map(() => random.normal()));
  const direction = random.normals(30);

  it('changes nothing at the start', async () => {
    expect([...readFloats(await weight.tensor(initialOf(weight)))]).toEqual([...base]);
  });

  it('has the gradients of its factors', async () => {
    const product = (left: readonly number[], right: readonly number[]): number => {
      let sum = 0;
      for (let row = 0; row < 5; row++)
        for (let column = 0; column < 6; column++)
          for (let k = 0; k < 2; k++)
            sum += 3 * left[row * 2 + k]! * right[k * 6 + column]! * direction[row * 6 + column]!;
      return sum;
    };
    const [left, right] = values.map((array) => [...array]) as [number[], number[]];
    const [ofLeft, ofRight] = await weight.pullBack(values, direction.slice());
    differences(left, (moved) => product(moved, right)).forEach((slope, index) => {
      expect(ofLeft![index]).toBeCloseTo(slope, 3);
    });
    differences(right, (moved) => product(left, moved)).forEach((slope, index) => {
      expect(ofRight![index]).toBeCloseTo(slope, 3);
    });
  });
});
