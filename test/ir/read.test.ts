import { describe, expect, it } from 'vitest';
import { type DataType, dataTypes } from '../../src/ir/data-type.ts';
import { decodeElements, encodeElements } from '../../src/ir/elements.ts';
import { decodeMinifloat, encodeMinifloat, minifloats, roundHalfEven } from '../../src/ir/minifloat.ts';
import {
  floatTensor,
  intTensor,
  readFloats,
  readInts,
  readScalar,
  readStrings,
  sameTensor,
  scalar,
  stringTensor,
  tensorOf,
} from '../../src/ir/read.ts';
import { MemoryTensor } from '../../src/ir/tensor.ts';

describe('narrow floating-point formats', () => {
  it.each(Object.entries(minifloats))('%s: every code that is a number comes back', (_, format) => {
    const wrong: number[] = [];
    for (let code = 0; code < 2 ** format.bits; code++) {
      const value = decodeMinifloat(format, code);
      const back = encodeMinifloat(format, value);
      if (Number.isNaN(value) ? !Number.isNaN(decodeMinifloat(format, back)) : Number.isFinite(value) && back !== code)
        wrong.push(code);
    }
    expect(wrong).toEqual([]);
  });

  it.each(Object.entries(minifloats))(
    '%s: a number between two codes goes to the nearest, ties to even',
    (_, format) => {
      const step = format.bits === 16 ? 997 : 1;
      for (let code = 1; code + 1 < 2 ** (format.bits - 1); code += step) {
        const [low, high] = [decodeMinifloat(format, code), decodeMinifloat(format, code + 1)];
        if (!Number.isFinite(low) || !Number.isFinite(high)) continue;
        expect(encodeMinifloat(format, low + (high - low) * 0.49)).toBe(code);
        expect(encodeMinifloat(format, low + (high - low) * 0.51)).toBe(code + 1);
        expect(encodeMinifloat(format, (low + high) / 2)).toBe(code % 2 === 0 ? code : code + 1);
      }
    },
  );

  it('knows the published extremes', () => {
    const largest = (dtype: keyof typeof minifloats): number =>
      decodeMinifloat(minifloats[dtype], encodeMinifloat(minifloats[dtype], 1e30));
    expect(decodeMinifloat(minifloats.float16, 0x7bff)).toBe(65504);
    expect(encodeMinifloat(minifloats.float16, 65520)).toBe(0x7c00);
    expect(largest('float8e4m3fn')).toBe(448);
    expect(largest('float8e4m3fnuz')).toBe(240);
    expect(largest('float8e5m2')).toBe(57344);
    expect(largest('float8e5m2fnuz')).toBe(57344);
    expect(largest('float4e2m1')).toBe(6);
    expect(largest('float6e2m3')).toBe(7.5);
    expect(largest('float6e3m2')).toBe(28);
    expect(decodeMinifloat(minifloats.float16, 1)).toBe(2 ** -24);
    expect(decodeMinifloat(minifloats.float8e5m2, 1)).toBe(2 ** -16);
  });

  it('rounds halves to even', () => {
    expect([0.5, 1.5, 2.5, -0.5, -1.5, 2.4, 2.6].map(roundHalfEven)).toEqual([0, 2, 2, 0, -2, 2, 3]);
  });
});

describe('constants as numbers', () => {
  const numeric = (Object.keys(dataTypes) as DataType[]).filter(
    (name) => !['string', 'complex64', 'complex128'].includes(name),
  );

  it.each(numeric)('%s: numbers that the type holds come back', (dtype) => {
    const signed = !dtype.startsWith('uint') && dtype !== 'bool' && dtype !== 'float8e8m0';
    const numbers = dtype === 'float8e8m0' ? [1, 2, 0.5] : signed ? [1, 0, -1, -2, 1] : [1, 0, 1, 1, 0];
    expect(Array.from(decodeElements(dtype, encodeElements(dtype, numbers), numbers.length))).toEqual(numbers);
  });

  it('reads bytes at any address', () => {
    const bytes = new Uint8Array(13);
    new DataView(bytes.buffer).setFloat32(1, 1.5, true);
    new DataView(bytes.buffer).setFloat32(5, -2, true);
    expect(Array.from(readFloats(new MemoryTensor('float32', [2], bytes.subarray(1, 9))))).toEqual([1.5, -2]);
  });

  it('refuses 64-bit integers that a double cannot hold', () => {
    const tensor = new MemoryTensor('int64', [1], new Uint8Array(BigInt64Array.of(2n ** 60n).buffer));
    expect(() => readInts(tensor)).toThrow(/53 bits/);
    expect(readInts(intTensor([2], [-5, 2 ** 52]))).toEqual([-5, 2 ** 52]);
  });

  it('refuses the wrong kind', () => {
    expect(() => readFloats(intTensor([1], [1]))).toThrow(/found int64/);
    expect(() => readInts(floatTensor([1], [1]))).toThrow(/found float32/);
    expect(() => readScalar(intTensor([2], [1, 2]))).toThrow(/shape \[2\]/);
    expect(() => tensorOf('float32', [3], [1])).toThrow(/1 numbers given/);
  });

  it('holds strings and scalars', () => {
    expect(readStrings(stringTensor([2], ['ä', '']))).toEqual(['ä', '']);
    expect(readScalar(scalar(0.1, 'float16'))).toBeCloseTo(0.1, 4);
  });

  it('compares by type, shape and content', () => {
    expect(sameTensor(intTensor([2], [1, 2]), intTensor([2], [1, 2]))).toBe(true);
    expect(sameTensor(intTensor([2], [1, 2]), intTensor([1, 2], [1, 2]))).toBe(false);
    expect(sameTensor(intTensor([2], [1, 2]), intTensor([2], [1, 3]))).toBe(false);
    expect(sameTensor(stringTensor([1], ['a']), stringTensor([1], ['b']))).toBe(false);
  });
});
