import { zipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { decodeNpy, decodeNpz, rowOf } from '../../../src/calibration/samples/npy.ts';

/** A .npy file as NumPy writes it. */
const npy = (
  descriptor: string,
  shape: string,
  data: Uint8Array,
  options: { version?: 1 | 2; fortran?: boolean } = {},
) => {
  const { version = 1, fortran = false } = options;
  const head = version === 1 ? 10 : 12;
  const text = `{'descr': '${descriptor}', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': ${shape}, }`;
  const header = `${text.padEnd(Math.ceil((head + text.length + 1) / 64) * 64 - head - 1)}\n`;
  const bytes = new Uint8Array(head + header.length + data.length);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0]);
  const view = new DataView(bytes.buffer);
  if (version === 1) view.setUint16(8, header.length, true);
  else view.setUint32(8, header.length, true);
  bytes.set(new TextEncoder().encode(header), head);
  bytes.set(data, head + header.length);
  return bytes;
};

const bytesOf = (array: { readonly buffer: ArrayBufferLike }): Uint8Array => new Uint8Array(array.buffer);

describe('NumPy arrays', () => {
  test.each([1, 2] as const)('of format version %i are read with their shape and type', (version) => {
    const file = npy('<f4', '(2, 3)', bytesOf(Float32Array.of(1, 2, 3, 4, 5, 6)), { version });
    expect(decodeNpy(file, 'x.npy')).toEqual({
      dtype: 'float32',
      shape: [2, 3],
      data: Float32Array.of(1, 2, 3, 4, 5, 6),
    });
  });

  test('may be scalars, vectors, 64-bit integers, booleans', () => {
    expect(decodeNpy(npy('<i8', '()', bytesOf(BigInt64Array.of(-7n))), 'x').data).toEqual(BigInt64Array.of(-7n));
    expect(decodeNpy(npy('|b1', '(2,)', Uint8Array.of(1, 0)), 'x')).toMatchObject({ dtype: 'bool', shape: [2] });
  });

  test('in column-major or big-endian order mean the same', () => {
    const rowMajor = decodeNpy(npy('<i2', '(2, 3)', bytesOf(Int16Array.of(1, 2, 3, 4, 5, 6))), 'x');
    const columnMajor = npy('<i2', '(2, 3)', bytesOf(Int16Array.of(1, 4, 2, 5, 3, 6)), { fortran: true });
    expect(decodeNpy(columnMajor, 'x')).toEqual(rowMajor);
    expect(decodeNpy(npy('>i2', '(2, 3)', Uint8Array.of(0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6)), 'x')).toEqual(rowMajor);
  });

  test.each([
    ['not an array', Uint8Array.of(1, 2, 3)],
    ['an array that is cut short', npy('<f4', '(2, 3)', new Uint8Array(20))],
    ['a shape that is a lie', npy('<f4', '(99999999999, 99999999999)', new Uint8Array(20))],
    ['a header without a type', npy('<f4', '(1,)', new Uint8Array(4)).fill(0x20, 12, 30)],
  ])('%s is malformed', (_, bytes) => {
    expect(() => decodeNpy(bytes, 'x.npy')).toThrow(
      expect.objectContaining({ code: 'malformed', where: { file: 'x.npy' } }),
    );
  });

  test('of text or objects are refused', () => {
    expect(() => decodeNpy(npy('<U5', '(1,)', new Uint8Array(20)), 'x')).toThrow(
      expect.objectContaining({ code: 'unsupported' }),
    );
    expect(() => decodeNpy(npy('|O8', '(1,)', new Uint8Array(8)), 'x')).toThrow(
      expect.objectContaining({ code: 'unsupported' }),
    );
  });

  test('come by name from an archive, and row by row', () => {
    const archive = zipSync({
      'a.npy': npy('<f4', '(2, 2)', bytesOf(Float32Array.of(1, 2, 3, 4))),
      'labels.npy': npy('|u1', '(2,)', Uint8Array.of(7, 8)),
    });
    const arrays = decodeNpz(archive, 'x.npz');
    expect([...arrays.keys()]).toEqual(['a', 'labels']);
    expect(rowOf(arrays.get('a')!, 1)).toEqual({ dtype: 'float32', shape: [1, 2], data: Float32Array.of(3, 4) });
    expect(() => decodeNpz(Uint8Array.of(1, 2, 3), 'x.npz')).toThrow(expect.objectContaining({ code: 'malformed' }));
  });
});
