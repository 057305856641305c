import { describe, expect, it } from 'vitest';
import {
  packBlocks,
  packFlat,
  packRows,
  transposeF32,
  transposeU8,
  unpackBlocks,
  unpackFlat,
  unpackRows,
} from '../../src/kernels/index.ts';
import { Random } from '../../src/random.ts';

const codesOf = (count: number, bits: number): Uint8Array => {
  const random = new Random(count, `codes of ${bits} bits`);
  return Uint8Array.from({ length: count }, () => random.integer(2 ** bits));
};

describe('packing', () => {
  it('puts the first code into the low bits and pads rows to whole bytes', () => {
    const codes = Uint8Array.of(1, 2, 3, 4, 5, 6);
    expect([...packRows({ codes, rows: 2, columns: 3, bits: 4 })]).toEqual([0x21, 0x03, 0x54, 0x06]);
    expect([...packFlat(codes, 4)]).toEqual([0x21, 0x43, 0x65]);
    expect([...packFlat(Uint8Array.of(3, 0, 1, 2, 1), 2)]).toEqual([0b10010011, 1]);
  });

  it('is undone by unpacking, for every width and number of bits', () => {
    for (const bits of [1, 2, 4, 8] as const)
      for (const columns of [1, 7, 8, 33]) {
        const codes = codesOf(5 * columns, bits);
        const packed = packRows({ codes, rows: 5, columns, bits });
        expect(packed.length).toBe(5 * Math.ceil((columns * bits) / 8));
        expect(unpackRows({ packed, rows: 5, columns, bits })).toEqual(codes);
        expect(unpackFlat(packFlat(codes, bits), codes.length, bits)).toEqual(codes);
      }
  });

  it('fills short blocks with the zero point, so that they stand for zeros', () => {
    const codes = Uint8Array.of(1, 2, 3, 4, 5, 6);
    const layout = { codes, rows: 2, columns: 3, bits: 4, blockSize: 4 } as const;
    expect([...packBlocks({ ...layout, padding: Uint8Array.of(9, 10) })]).toEqual([0x21, 0x93, 0x54, 0xa6]);
    expect([...packBlocks({ ...layout, padding: 8 })]).toEqual([0x21, 0x83, 0x54, 0x86]);
    const wide = codesOf(3 * 40, 4);
    const packed = packBlocks({ codes: wide, rows: 3, columns: 40, bits: 4, blockSize: 32, padding: 8 });
    expect(packed.length).toBe(3 * 2 * 16);
    expect(unpackBlocks({ packed, rows: 3, columns: 40, bits: 4, blockSize: 32 })).toEqual(wide);
  });

  it('refuses codes and sizes that do not fit', () => {
    expect(() => packRows({ codes: Uint8Array.of(16), rows: 1, columns: 1, bits: 4 })).toThrow(/do not fit 4 bits/);
    expect(() => packRows({ codes: new Uint8Array(5), rows: 2, columns: 3, bits: 4 })).toThrow(/5 elements/);
    expect(() => unpackRows({ packed: new Uint8Array(5), rows: 2, columns: 3, bits: 4 })).toThrow(/where 4 belong/);
    expect(() => packRows({ codes: new Uint8Array(0), rows: 1.5, columns: 0, bits: 4 })).toThrow(/1.5/);
    const codes = new Uint8Array(3);
    const layout = { codes, rows: 1, columns: 3, bits: 4 } as const;
    expect(() => packBlocks({ ...layout, blockSize: 3, padding: 8 })).toThrow(/bytes of a block/);
    expect(() => packBlocks({ ...layout, blockSize: 4, padding: 16 })).toThrow(/padding code/);
  });
});

describe('transposing', () => {
  it('swaps rows and columns', () => {
    expect([...transposeF32(Float32Array.of(1, 2, 3, 4, 5, 6), 2, 3)]).toEqual([1, 4, 2, 5, 3, 6]);
    const matrix = codesOf(66 * 70, 8);
    const turned = transposeU8(matrix, 66, 70);
    expect(turned).toEqual(matrix.map((_, index) => matrix[(index % 66) * 70 + Math.floor(index / 66)]!));
    expect(transposeU8(turned, 70, 66)).toEqual(matrix);
  });
});
