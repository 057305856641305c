import { describe, expect, it } from 'vitest';
import {
  bytesToFloat,
  countNonFinite,
  firstNonFinite,
  floatToBytes,
  isDecodableFloat,
  narrowFloats,
} from '../../src/kernels/index.ts';
import { Random } from '../../src/random.ts';

const wordsOf = (bytes: Uint8Array): Uint16Array => new Uint16Array(bytes.slice().buffer);

describe('conversions between floating-point types', () => {
  it('gives the bits that everybody gives', () => {
    const values = Float32Array.of(1, -2, 65504, 65520, 2 ** -24, 1 / 3, Number.NaN);
    expect([...wordsOf(floatToBytes(values, 'float16'))].map((word) => word.toString(16))).toEqual([
      '3c00',
      'c000',
      '7bff',
      '7c00',
      '1',
      '3555',
      '7e00',
    ]);
    expect([...wordsOf(floatToBytes(Float32Array.of(1, -2, 1 / 3, 3.4e38), 'bfloat16'))]).toEqual([
      0x3f80, 0xc000, 0x3eab, 0x7f80,
    ]);
  });

  it('comes back within half a unit in the last place', () => {
    const values = new Random(3, 'floats').normals(100_000);
    for (const [dtype, digits] of [['float16', 11] as const, ['bfloat16', 8] as const]) {
      const back = bytesToFloat(floatToBytes(values, dtype), dtype);
      const units = values.map((value, index) => {
        const limit = Math.max(Math.abs(value), 2 ** -14) * 2 ** -digits;
        return Math.abs(back[index]! - value) / limit;
      });
      expect(units.reduce((worst, unit) => Math.max(worst, unit), 0)).toBeLessThanOrEqual(1);
    }
    expect(bytesToFloat(floatToBytes(values, 'float32'), 'float32')).toEqual(values);
  });

  it('counts what became infinite', () => {
    const values = Float32Array.of(1, 1e6, -1e6, Number.NaN, 65504);
    expect(narrowFloats(values, 'float16').nonFinite).toBe(3);
    expect(narrowFloats(values, 'bfloat16').nonFinite).toBe(1);
  });

  it('reads bytes wherever they lie', () => {
    const bytes = new Uint8Array(8 * 3 + 1);
    const view = new DataView(bytes.buffer, 1);
    for (const [index, value] of [Math.PI, -1e300, 5].entries()) view.setFloat64(8 * index, value, true);
    const found = bytesToFloat(bytes.subarray(1), 'float64');
    expect([...found]).toEqual([Math.fround(Math.PI), Number.NEGATIVE_INFINITY, 5]);
    expect(() => bytesToFloat(bytes, 'float64')).toThrow(/25 bytes/);
  });

  it('reads eight-bit floats', () => {
    expect([...bytesToFloat(Uint8Array.of(0x38, 0x7e, 0xb8, 0x01), 'float8e4m3fn')]).toEqual([1, 448, -1, 2 ** -9]);
    expect([...bytesToFloat(Uint8Array.of(0x3c, 0x7b, 0xfc), 'float8e5m2')]).toEqual([1, 57344, -Infinity]);
    expect(isDecodableFloat('float8e5m2')).toBe(true);
    expect(isDecodableFloat('int8')).toBe(false);
  });

  it('finds the first value that is not finite', () => {
    const values = new Float32Array(300_000);
    expect(firstNonFinite(values)).toBe(-1);
    values[299_999] = Number.NaN;
    values[131_072] = Number.NEGATIVE_INFINITY;
    expect(firstNonFinite(values)).toBe(131_072);
    expect(countNonFinite(values)).toBe(2);
    expect(firstNonFinite(new Float32Array(0))).toBe(-1);
  });
});
