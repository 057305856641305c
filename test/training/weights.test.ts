import { describe, expect, it } from 'vitest';
import { PackedTensor } from '../../src/ir/packed-tensor.ts';
import { readFloats } from '../../src/ir/read.ts';
import { packRows, quantizeRtn } from '../../src/kernels/index.ts';
import { Random } from '../../src/random.ts';
import { lowRankWeight } from '../../src/training/weights/low-rank.ts';
import { plainWeight } from '../../src/training/weights/plain.ts';
import { quantizedWeight } from '../../src/training/weights/quantized.ts';
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
