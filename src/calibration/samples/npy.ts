import { unzipSync } from 'fflate';
import { CompressError } from '../../errors.ts';
import { arrayFromBytes, bytesOfArray } from '../../execution/arrays.ts';
import { byteLengthOf, type DataType } from '../../ir/data-type.ts';
import { elementCount } from '../../ir/shape.ts';
import type { NumericArray } from '../dataset.ts';

/** NumPy type codes that arrays may have; all read as little-endian. */
const typeCodes: Readonly<Record<string, DataType>> = {
  f2: 'float16',
  f4: 'float32',
  f8: 'float64',
  i1: 'int8',
  i2: 'int16',
  i4: 'int32',
  i8: 'int64',
  u1: 'uint8',
  u2: 'uint16',
  u4: 'uint32',
  u8: 'uint64',
  b1: 'bool',
};

const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];

/** Swaps the bytes of each element, for big-endian files. */
const swapped = (bytes: Uint8Array, width: number): Uint8Array => {
  const result = Uint8Array.from(bytes);
  for (let at = 0; at < result.length; at += width) result.subarray(at, at + width).reverse();
  return result;
};

/** Column-major elements in row-major order. */
const toRowMajor = (bytes: Uint8Array, shape: readonly number[], width: number): Uint8Array => {
  const result = new Uint8Array(bytes.length);
  const position = new Array<number>(shape.length).fill(0);
  for (let source = 0; source < bytes.length / width; source++) {
    let target = 0;
    for (let axis = 0; axis < shape.length; axis++) target = target * shape[axis]! + position[axis]!;
    result.set(bytes.subarray(source * width, (source + 1) * width), target * width);
    for (let axis = 0; axis < shape.length && ++position[axis]! === shape[axis]; axis++) position[axis] = 0;
  }
  return result;
};

/**
 * Reads a NumPy array file, format versions 1 to 3, C or Fortran order, either byte order.
 * @param file for messages.
 * @throws CompressError 'malformed', or 'unsupported' for element types that are not numbers.
 */
export const decodeNpy = (bytes: Uint8Array, file: string): NumericArray => {
  const malformed = (message: string): CompressError =>
    new CompressError({
      code: 'malformed',
      message,
      where: { file },
      hint: 'A .npy file made by numpy.save is needed.',
    });
  if (bytes.length < 12 || magic.some((byte, index) => bytes[index] !== byte)) throw malformed('this is no .npy array');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = bytes[6] ?? 0;
  if (version < 1 || version > 3) throw malformed(`.npy version ${version} is not known`);
  const begin = version === 1 ? 10 : 12;
  const end = begin + (version === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  if (end > bytes.length) throw malformed(`the header of ${end} bytes does not fit a file of ${bytes.length}`);
  const header = new TextDecoder().decode(bytes.subarray(begin, end));
  const descriptor = /'descr'\s*:\s*'([<>|=])([a-zA-Z])(\d+)'/.exec(header);
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(header);
  const dims = /'shape'\s*:\s*\(([^)]*)\)/.exec(header);
  if (!descriptor || !order || !dims) throw malformed(`the header ${JSON.stringify(header.trim())} cannot be read`);
  const code = `${descriptor[2]}${descriptor[3]}`;
  const dtype = typeCodes[code];
  if (!dtype)
    throw new CompressError({
      code: 'unsupported',
      message: `arrays of NumPy type ${code} cannot be used`,
      where: { file },
      hint: `Save it as one of ${Object.keys(typeCodes).join(', ')}.`,
    });
  const shape = (dims[1]?.match(/\d+/g) ?? []).map(Number);
  const width = byteLengthOf(dtype, 1);
  const length = elementCount(shape) * width;
  if (!Number.isSafeInteger(length) || end + length > bytes.length)
    throw malformed(
      `the array [${shape.join(', ')}] of ${dtype} needs ${length} bytes, the file has ${bytes.length - end}`,
    );
  let data: Uint8Array = bytes.subarray(end, end + length);
  if (descriptor[1] === '>' && width > 1) data = swapped(data, width);
  if (order[1] === 'True' && shape.length > 1) data = toRowMajor(data, shape, width);
  return arrayFromBytes(dtype, shape, data);
};

/** Reads every array of a .npz archive, by name. @throws CompressError 'malformed'. */
export const decodeNpz = (bytes: Uint8Array, file: string): Map<string, NumericArray> => {
  let entries: Record<string, Uint8Array>;
  try {
    entries = unzipSync(bytes, { filter: (entry) => entry.name.endsWith('.npy') });
  } catch (cause) {
    throw new CompressError({
      code: 'malformed',
      message: `the archive cannot be unpacked: ${cause instanceof Error ? cause.message : String(cause)}`,
      where: { file },
      hint: 'A .npz file made by numpy.savez is needed.',
      cause,
    });
  }
  return new Map(
    Object.entries(entries)
      .map(([name, content]) => [name.replace(/\.npy$/, ''), content] as const)
      .map(([name, content]) => [name, decodeNpy(content, `${file}:${name}.npy`)]),
  );
};

/** Rows `index..index+1` of an array along its first axis, sharing its memory: shape [1, …]. */
export const rowOf = (array: NumericArray, index: number): NumericArray => {
  const shape = [1, ...array.shape.slice(1)];
  const length = byteLengthOf(array.dtype, elementCount(shape));
  return arrayFromBytes(array.dtype, shape, bytesOfArray(array).subarray(index * length, (index + 1) * length));
};
