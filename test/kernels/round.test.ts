import { describe, expect, it } from 'vitest';
import {
  bytesToFloat,
  chooseGrid,
  dequantize,
  floatToBytes,
  type GridScheme,
  quantizeOnGrid,
  quantizeRtn,
} from '../../src/kernels/index.ts';
import { Random } from '../../src/random.ts';

const schemes = ['asymmetric', 'symmetric', 'symmetric-narrow'] as const satisfies GridScheme[];
const normals = (rows: number, columns: number, seed = 1) => ({
  weight: new Random(seed, 'weights').normals(rows * columns),
  rows,
  columns,
});

const meanSquare = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, index) => sum + (value - b[index]!) ** 2, 0) / a.length;

describe('round to nearest', () => {
  it('stays within half a step wherever the range of the grid reaches', async () => {
    const matrix = normals(40, 100);
    for (const scheme of ['asymmetric', 'symmetric-narrow'] as const)
      for (const bits of [2, 3, 4, 8]) {
        const grid = { bits, groupSize: 32, scheme };
        const rounded = await quantizeRtn({ ...matrix, ...grid });
        const back = dequantize({ ...rounded, ...matrix, ...grid });
        const steps = back.map((value, index) => {
          const [row, column] = [Math.floor(index / 100), index % 100];
          return Math.abs(value - matrix.weight[index]!) / rounded.scales[row * 4 + Math.floor(column / 32)]!;
        });
        expect(steps.reduce((worst, step) => Math.max(worst, step), 0)).toBeLessThan(0.50001);
      }
  });

  it('keeps the signed extreme of a group exactly on a full symmetric grid', async () => {
    const weight = Float32Array.of(0.1, -3, 1, 2, 5, 1, -2, 4);
    const rounded = await quantizeRtn({ weight, rows: 2, columns: 4, bits: 4, groupSize: 4, scheme: 'symmetric' });
    expect([...rounded.scales]).toEqual([3 / 8, -5 / 8]);
    expect(rounded.zeroPoints).toBeNull();
    expect([rounded.codes[1], rounded.codes[4]]).toEqual([0, 0]);
  });

  it('uses codes of ±127 and positive scales on a narrow grid of 8 bits', async () => {
    const weight = Float32Array.of(-1, 1, 0.5, 0);
    const rounded = await quantizeRtn({
      weight,
      rows: 1,
      columns: 4,
      bits: 8,
      groupSize: 4,
      scheme: 'symmetric-narrow',
    });
    expect([...rounded.codes].map((code) => code - 128)).toEqual([-127, 127, 64, 0]);
    expect(rounded.scales[0]).toBe(Math.fround(1 / 127));
  });

  it('rounds halves to even', async () => {
    const weight = Float32Array.of(-8, 0.5, 1.5, 2.5, -0.5, -1.5, 7, 6.5);
    const rounded = await quantizeRtn({ weight, rows: 1, columns: 8, bits: 4, groupSize: 8, scheme: 'symmetric' });
    expect([...rounded.codes].map((code) => code - 8)).toEqual([-8, 0, 2, 2, 0, -2, 7, 6]);
  });

  it('gives zeros a scale that is exact and the code of zero', async () => {
    for (const scheme of schemes) {
      const grid = { rows: 1, columns: 6, bits: 4, groupSize: 3, scheme };
      const rounded = await quantizeRtn({ weight: Float32Array.of(0, 0, 0, 1, 2, 3), ...grid });
      expect(rounded.scales[0]).toBe(1);
      expect([...dequantize({ ...rounded, ...grid })].slice(0, 3)).toEqual([0, 0, 0]);
    }
  });

  it('has the least error on the full signed grid, less than on the narrow one', async () => {
    const matrix = normals(500, 320);
    const error = async (scheme: GridScheme): Promise<number> => {
      const grid = { bits: 4, groupSize: 32, scheme };
      return meanSquare(
        matrix.weight,
        dequantize({ ...(await quantizeRtn({ ...matrix, ...grid })), ...matrix, ...grid }),
      );
    };
    const [asymmetric, full, narrow] = [
      await error('asymmetric'),
      await error('symmetric'),
      await error('symmetric-narrow'),
    ];
    expect(full).toBeLessThan(narrow);
    expect(asymmetric).toBeLessThan(full);
  });

  it('chooses codes for the scales as they will be stored', async () => {
    const matrix = normals(10, 64);
    const grid = { bits: 8, groupSize: 64, scheme: 'asymmetric', scaleType: 'float16' } as const;
    const rounded = await quantizeRtn({ ...matrix, ...grid });
    expect(bytesToFloat(floatToBytes(rounded.scales, 'float16'), 'float16')).toEqual(rounded.scales);
    expect(await quantizeOnGrid({ ...matrix, ...grid, ...rounded })).toEqual(rounded.codes);
  });

  it('never loses by a clip search, by its own measure', async () => {
    const matrix = normals(20, 96);
    const importance = Float64Array.from({ length: 96 }, (_, column) => (column % 7) ** 2);
    for (const scheme of schemes) {
      const grid = { bits: 2, groupSize: 48, scheme };
      const cost = async (clip?: { grid: number; maxShrink: number; norm: number; weights: Float64Array }) => {
        const rounded = await quantizeRtn({ ...matrix, ...grid, ...(clip ? { clip } : {}) });
        const back = dequantize({ ...rounded, ...matrix, ...grid });
        return back.reduce((sum, value, i) => sum + importance[i % 96]! * (value - matrix.weight[i]!) ** 2, 0);
      };
      const plain = await cost();
      expect(await cost({ grid: 100, maxShrink: 0.8, norm: 2, weights: importance })).toBeLessThan(plain);
    }
  });

  it('is the same whether grids are chosen first or on the way', async () => {
    const matrix = normals(33, 70);
    const grid = {
      bits: 3,
      groupSize: 16,
      scheme: 'asymmetric',
      clip: { grid: 20, maxShrink: 0.5, norm: 2.4 },
    } as const;
    const rounded = await quantizeRtn({ ...matrix, ...grid });
    const grids = await chooseGrid({ ...matrix, ...grid });
    expect(grids).toEqual({ scales: rounded.scales, zeroPoints: rounded.zeroPoints });
    expect(await quantizeOnGrid({ ...matrix, ...grid, ...grids })).toEqual(rounded.codes);
  });

  it('names the first weight that is not finite', async () => {
    const matrix = normals(300, 257);
    matrix.weight[123 * 257 + 45] = Number.NaN;
    await expect(quantizeRtn({ ...matrix, bits: 4, groupSize: 32, scheme: 'symmetric' })).rejects.toMatchObject({
      code: 'numeric',
      message: 'the weight in row 123, column 45 is NaN',
    });
  });

  it('refuses what makes no sense', async () => {
    const matrix = normals(2, 8);
    const grid = { bits: 4, groupSize: 8, scheme: 'symmetric' } as const;
    await expect(quantizeRtn({ ...matrix, ...grid, bits: 9 })).rejects.toMatchObject({ code: 'internal' });
    await expect(quantizeRtn({ ...matrix, ...grid, groupSize: 0 })).rejects.toMatchObject({ code: 'internal' });
    await expect(quantizeRtn({ ...matrix, ...grid, rows: 3 })).rejects.toMatchObject({ code: 'internal' });
    const clip = { grid: 10, maxShrink: 2, norm: 2 };
    await expect(quantizeRtn({ ...matrix, ...grid, clip })).rejects.toMatchObject({ code: 'usage' });
    const weights = Float64Array.of(1, 1, 1, 1, 1, -1, 1, 1);
    await expect(quantizeRtn({ ...matrix, ...grid, clip: { ...clip, maxShrink: 0.5, weights } })).rejects.toMatchObject(
      {
        code: 'numeric',
      },
    );
  });
});
