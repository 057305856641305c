import { describe, expect, it } from 'vitest';
import { dequantize, type GridScheme, gptq, InputFactor, quantizeRtn } from '../../src/kernels/index.ts';
import { Random } from '../../src/random.ts';
import { correlatedSamples, outputError, plainGram } from './matrices.ts';

const identity = (n: number): Float64Array =>
  Float64Array.from({ length: n * n }, (_, index) => (index % (n + 1) === 0 ? 1 : 0));

const problem = (rows: number, columns: number, seed: number) => ({
  weight: new Random(seed, 'weights').normals(rows * columns),
  rows,
  columns,
  hessian: plainGram(correlatedSamples(2 * columns, columns, seed), columns),
});

/** The plain twin: optimal brain surgeon in a fixed order, one weight after another, with the whole inverse at hand. */
const plainCodes = (
  input: ReturnType<typeof problem>,
  grids: { scales: Float32Array; zeroPoints: Uint8Array | null },
  { groupSize, bits, damp }: { groupSize: number; bits: number; damp: number },
): number[] => {
  const { weight, rows, columns: n, hessian } = input;
  const diagonal = Array.from({ length: n }, (_, i) => hessian[i * n + i]!);
  const added = (damp * diagonal.reduce((sum, value) => sum + value, 0)) / n;
  const damped = hessian.map((value, index) => (index % (n + 1) === 0 ? value + added : value));
  const order = diagonal.map((_, i) => i).sort((a, b) => diagonal[b]! - diagonal[a]!);
  const codes = new Array<number>(rows * n).fill(0);
  const roundEven = (value: number): number => {
    const floor = Math.floor(value);
    const rest = value - floor;
    return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
  };
  for (let row = 0; row < rows; row++) {
    const inverse = invert(damped, n);
    const w = Array.from(weight.subarray(row * n, (row + 1) * n));
    for (const column of order) {
      const at = row * Math.ceil(n / groupSize) + Math.floor(column / groupSize);
      const scale = grids.scales[at]!;
      const zero = grids.zeroPoints?.[at] ?? 2 ** (bits - 1);
      const step = roundEven(Math.fround(Math.fround(w[column]!) / scale));
      const code = Math.min(Math.max(step + zero, 0), 2 ** bits - 1);
      codes[row * n + column] = code;
      const pivot = inverse[column * n + column]!;
      const error = (w[column]! - Math.fround((code - zero) * scale)) / pivot;
      for (let j = 0; j < n; j++) w[j]! -= error * inverse[column * n + j]!;
      const pivotRow = inverse.slice(column * n, (column + 1) * n);
      for (let i = 0; i < n; i++) {
        const factor = inverse[i * n + column]! / pivot;
        for (let j = 0; j < n; j++) inverse[i * n + j]! -= factor * pivotRow[j]!;
      }
    }
  }
  return codes;
};

const invert = (matrix: Float64Array, n: number): Float64Array => {
  const left = matrix.slice();
  const right = identity(n);
  for (let pivot = 0; pivot < n; pivot++) {
    const scale = 1 / left[pivot * n + pivot]!;
    for (let j = 0; j < n; j++) {
      left[pivot * n + j]! *= scale;
      right[pivot * n + j]! *= scale;
    }
    for (let i = 0; i < n; i++) {
      const factor = left[i * n + pivot]!;
      if (i === pivot || factor === 0) continue;
      for (let j = 0; j < n; j++) {
        left[i * n + j]! -= factor * left[pivot * n + j]!;
        right[i * n + j]! -= factor * right[pivot * n + j]!;
      }
    }
  }
  return right;
};

describe('GPTQ', () => {
  it('is round to nearest when inputs are not correlated', async () => {
    for (const scheme of ['asymmetric', 'symmetric', 'symmetric-narrow'] satisfies GridScheme[]) {
      const matrix = { weight: new Random(5, 'weights').normals(20 * 150), rows: 20, columns: 150 };
      const grid = { bits: 3, groupSize: 64, scheme };
      const nearest = await quantizeRtn({ ...matrix, ...grid });
      const solved = await gptq({ ...matrix, ...grid, hessian: identity(150), actOrder: true });
      expect({ codes: solved.codes, scales: solved.scales, zeroPoints: solved.zeroPoints }).toEqual(nearest);
    }
  });

  it('equals the plain twin code by code', async () => {
    const input = problem(6, 40, 9);
    const grid = { bits: 3, groupSize: 16, scheme: 'asymmetric' } as const;
    const solved = await gptq({ ...input, ...grid, actOrder: true, exact: true, blockSize: 7 });
    expect([...solved.codes]).toEqual(plainCodes(input, solved, { ...grid, damp: 0.01 }));
  });

  it('has less output error than round to nearest, on any correlated inputs', async () => {
    for (let seed = 0; seed < 8; seed++) {
      const input = problem(24, 96, seed);
      for (const [bits, groupSize] of [[2, 32] as const, [3, 96] as const, [4, 24] as const]) {
        const grid = { bits, groupSize, scheme: 'asymmetric' } as const;
        const error = (rounded: Awaited<ReturnType<typeof quantizeRtn>>): number =>
          outputError(input.weight, dequantize({ ...rounded, ...input, ...grid }), input.hessian, 96);
        const nearest = error(await quantizeRtn({ ...input, ...grid }));
        expect(error(await gptq({ ...input, ...grid, actOrder: true }))).toBeLessThan(nearest);
        expect(error(await gptq({ ...input, ...grid, actOrder: false }))).toBeLessThan(nearest);
      }
    }
  });

  it('does not care about the scale of H', async () => {
    const input = problem(8, 64, 3);
    const grid = { bits: 3, groupSize: 32, scheme: 'symmetric', actOrder: true } as const;
    const here = await gptq({ ...input, ...grid });
    const there = await gptq({ ...input, ...grid, hessian: input.hessian.map((value) => value / 1024) });
    expect(there.codes).toEqual(here.codes);
    const sum = (losses: Float64Array): number => losses.reduce((total, loss) => total + loss, 0);
    expect(sum(there.losses) * 1024).toBeCloseTo(sum(here.losses), 6);
  });

  it('rounds dead columns to nearest and counts them', async () => {
    const input = problem(8, 64, 4);
    for (const dead of [0, 31])
      for (let i = 0; i < 64; i++) {
        input.hessian[dead * 64 + i] = 0;
        input.hessian[i * 64 + dead] = 0;
      }
    const grid = { bits: 4, groupSize: 32, scheme: 'asymmetric' } as const;
    const solved = await gptq({ ...input, ...grid, actOrder: true });
    expect(solved.deadColumns).toBe(2);
    const nearest = await quantizeRtn({ ...input, ...grid });
    for (const at of [0, 31, 64, 95]) expect(solved.codes[at]).toBe(nearest.codes[at]);
  });

  it('adds more damping only when it must, says so, and fails when that is not enough', async () => {
    const matrix = { weight: new Random(6, 'weights').normals(2 * 3), rows: 2, columns: 3 };
    const hessian = Float64Array.of(1, 1.05, 1.05, 1.05, 1, 1.05, 1.05, 1.05, 1);
    const options = { ...matrix, hessian, bits: 4, groupSize: 3, scheme: 'symmetric', actOrder: false } as const;
    const solved = await gptq({ ...options, damp: 0.001, maxDampRetries: 3 });
    expect(solved.dampRetries).toBe(2);
    expect(solved.dampUsed).toBeCloseTo(0.1, 12);
    await expect(gptq({ ...options, damp: 0.001, maxDampRetries: 1 })).rejects.toMatchObject({
      code: 'numeric',
      message: expect.stringContaining('not positive definite'),
    });
  });

  it('solves several weights with one factor as each with its own', async () => {
    const input = problem(12, 40, 8);
    const grid = { bits: 3, groupSize: 20, scheme: 'asymmetric', actOrder: true } as const;
    const factor = await InputFactor.make({ ...input, actOrder: true });
    const parts = [0, 5].map((first) => input.weight.subarray(first * 40, (first === 0 ? 5 : 12) * 40));
    const solved = await Promise.all(
      parts.map((weight) => gptq({ weight, rows: weight.length / 40, columns: 40, factor, ...grid })),
    );
    const whole = await gptq({ ...input, ...grid });
    expect([...solved[0]!.codes, ...solved[1]!.codes]).toEqual([...whole.codes]);
    expect([...solved[0]!.losses, ...solved[1]!.losses]).toEqual([...whole.losses]);
  });

  it('solves linear systems in the damped inputs', async () => {
    const [rows, columns] = [5, 40];
    const { hessian } = problem(rows, columns, 9);
    const right = Float64Array.from({ length: rows * columns }, (_, index) => Math.sin(index));
    for (const exact of [false, true]) {
      const factor = await InputFactor.make({ hessian, columns, actOrder: true, damp: 0.1, exact });
      const solved = await factor.solve(right, rows);
      const added =
        (0.1 * hessian.filter((_, at) => at % (columns + 1) === 0).reduce((sum, x) => sum + x, 0)) / columns;
      const product = Array.from({ length: rows * columns }, (_, index) => {
        const [row, column] = [Math.floor(index / columns), index % columns];
        let sum = added * solved[index]!;
        for (let k = 0; k < columns; k++) sum += solved[row * columns + k]! * hessian[k * columns + column]!;
        return sum;
      });
      product.forEach((value, index) => {
        expect(Math.abs(value - right[index]!)).toBeLessThan(exact ? 1e-5 : 1e-3);
      });
    }
    const factor = await InputFactor.make({ hessian, columns, actOrder: true });
    expect(() => factor.solve(right.subarray(1), rows)).toThrow(expect.objectContaining({ code: 'internal' }));
  });

  it('refuses bad numbers and sizes', async () => {
    const input = problem(2, 8, 7);
    const grid = { bits: 4, groupSize: 8, scheme: 'symmetric', actOrder: true } as const;
    await expect(gptq({ ...input, ...grid, hessian: new Float64Array(63) })).rejects.toMatchObject({
      code: 'internal',
    });
    await expect(gptq({ ...input, ...grid, damp: -1 })).rejects.toMatchObject({ code: 'usage' });
    const hessian = input.hessian.slice();
    hessian[9] = Number.NaN;
    await expect(gptq({ ...input, ...grid, hessian })).rejects.toMatchObject({
      code: 'numeric',
      message: expect.stringContaining('diagonal'),
    });
    input.weight[11] = Number.POSITIVE_INFINITY;
    await expect(gptq({ ...input, ...grid })).rejects.toMatchObject({
      code: 'numeric',
      message: 'the weight in row 1, column 3 is Infinity',
    });
  });
});
