import type { NumericArray } from '../calibration/dataset.ts';
import { internalError } from '../errors.ts';
import { byteLengthOf, type DataType, isFloat } from '../ir/data-type.ts';
import { decodeElements, encodeElements } from '../ir/elements.ts';
import { elementCount } from '../ir/shape.ts';

type ArrayData = NumericArray['data'];

/** The typed array that holds elements of a type; 16-bit and 8-bit floats as their codes, booleans as bytes. */
const viewers: Partial<Record<DataType, (buffer: ArrayBufferLike, byteOffset: number, length: number) => ArrayData>> = {
  float32: (buffer, at, length) => new Float32Array(buffer, at, length),
  float64: (buffer, at, length) => new Float64Array(buffer, at, length),
  float16: (buffer, at, length) => new Uint16Array(buffer, at, length),
  bfloat16: (buffer, at, length) => new Uint16Array(buffer, at, length),
  int8: (buffer, at, length) => new Int8Array(buffer, at, length),
  uint8: (buffer, at, length) => new Uint8Array(buffer, at, length),
  bool: (buffer, at, length) => new Uint8Array(buffer, at, length),
  int16: (buffer, at, length) => new Int16Array(buffer, at, length),
  uint16: (buffer, at, length) => new Uint16Array(buffer, at, length),
  int32: (buffer, at, length) => new Int32Array(buffer, at, length),
  uint32: (buffer, at, length) => new Uint32Array(buffer, at, length),
  int64: (buffer, at, length) => new BigInt64Array(buffer, at, length),
  uint64: (buffer, at, length) => new BigUint64Array(buffer, at, length),
};

/** A view of little-endian bytes as an array; `bytes` must lie at a multiple of the element size, else it is copied. */
export const arrayFromBytes = (dtype: DataType, shape: readonly number[], bytes: Uint8Array): NumericArray => {
  const view = viewers[dtype];
  const count = elementCount(shape);
  const width = byteLengthOf(dtype, 1);
  if (!view || bytes.byteLength !== count * width)
    throw internalError(`${bytes.byteLength} bytes are no ${dtype} array [${shape.join(', ')}]`);
  const aligned = bytes.byteOffset % width === 0 ? bytes : Uint8Array.from(bytes);
  return { dtype, shape, data: view(aligned.buffer, aligned.byteOffset, count) };
};

/** The bytes of an array, sharing its memory. */
export const bytesOfArray = (array: NumericArray): Uint8Array =>
  new Uint8Array(array.data.buffer, array.data.byteOffset, array.data.byteLength);

/** A float32 array of this shape. */
export const floatArray = (shape: readonly number[], data: Float32Array): NumericArray => ({
  dtype: 'float32',
  shape,
  data,
});

/** An array filled with one number; any shape, empty ones too. */
export const filledArray = (dtype: DataType, shape: readonly number[], fill: number): NumericArray =>
  arrayFromBytes(dtype, shape, encodeElements(dtype, new Float64Array(elementCount(shape)).fill(fill)));

/** Numbers as an array of any type that JavaScript can hold (integers are truncated, floats rounded to nearest). */
export const arrayOfNumbers = (dtype: DataType, shape: readonly number[], numbers: ArrayLike<number>): NumericArray =>
  arrayFromBytes(dtype, shape, encodeElements(dtype, numbers));

/** The numbers of an array; may be its own memory, so not to be changed. 64-bit integers as doubles. */
export const numbersOfArray = (array: NumericArray): ArrayLike<number> =>
  decodeElements(array.dtype, bytesOfArray(array), array.data.length);

/** The elements in single precision; may be the array's own memory, so not to be changed. */
export const floatsOfArray = (array: NumericArray): Float32Array => {
  const numbers = numbersOfArray(array);
  return numbers instanceof Float32Array ? numbers : Float32Array.from(numbers);
};

/** The array converted to another element type (itself when it has it already). */
export const castArray = (array: NumericArray, dtype: DataType): NumericArray => {
  if (array.dtype === dtype) return array;
  const numbers = numbersOfArray(array);
  if (isFloat(dtype) || !isFloat(array.dtype)) return arrayOfNumbers(dtype, array.shape, numbers);
  return arrayOfNumbers(dtype, array.shape, Float64Array.from(numbers, Math.round));
};

/** The sum of two arrays of one floating-point type and shape. */
export const addArrays = (a: NumericArray, b: NumericArray): NumericArray => {
  const [left, right] = [numbersOfArray(a), numbersOfArray(b)];
  if (a.dtype !== b.dtype || left.length !== right.length)
    throw internalError(
      `a ${a.dtype} array of ${left.length} and a ${b.dtype} array of ${right.length} cannot be added`,
    );
  const sum = new (a.dtype === 'float64' ? Float64Array : Float32Array)(left.length);
  for (let index = 0; index < sum.length; index++) sum[index] = left[index]! + right[index]!;
  return arrayOfNumbers(a.dtype, a.shape, sum);
};
