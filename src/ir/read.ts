import { CompressError, internalError } from '../errors.ts';
import { type DataType, isFloat } from './data-type.ts';
import { decodeElements, encodeElements } from './elements.ts';
import { elementCount } from './shape.ts';
import { MemoryTensor, StringTensor, type Tensor } from './tensor.ts';

/** Constants as numbers, and numbers as constants. Arrays that come back may share the tensor's memory: copy before changing. */

/** Elements of any numeric or boolean tensor, row-major. 64-bit integers come as doubles. @throws internal error for strings. */
export const readNumbers = (tensor: Tensor): ArrayLike<number> =>
  decodeElements(tensor.dtype, tensor.bytes(), elementCount(tensor.shape));

/**
 * Elements of a floating-point tensor in single precision (float16, bfloat16 and float8 exactly, float64 rounded;
 * quantized ones dequantized), row-major. @throws 'mismatch' when the tensor is not floating-point.
 */
export const readFloats = (tensor: Tensor): Float32Array => {
  if (!isFloat(tensor.dtype))
    throw new CompressError({
      code: 'mismatch',
      message: `a floating-point tensor is needed here, found ${tensor.dtype}`,
    });
  const numbers = readNumbers(tensor);
  return numbers instanceof Float32Array ? numbers : Float32Array.from(numbers);
};

/**
 * Elements of an integer or boolean tensor, row-major.
 * @throws 'unsupported' for a 64-bit integer beyond 2^53, 'mismatch' for other element types.
 */
export const readInts = (tensor: Tensor): number[] => {
  const { dtype } = tensor;
  if (isFloat(dtype) || dtype === 'string' || dtype === 'complex64' || dtype === 'complex128')
    throw new CompressError({ code: 'mismatch', message: `an integer tensor is needed here, found ${dtype}` });
  const numbers = Array.from(readNumbers(tensor));
  const unsafe =
    dtype === 'int64' || dtype === 'uint64' ? numbers.find((number) => !Number.isSafeInteger(number)) : undefined;
  if (unsafe !== undefined)
    throw new CompressError({ code: 'unsupported', message: `the integer ${unsafe} does not fit 53 bits` });
  return numbers;
};

/** The only element of a tensor. @throws 'mismatch' when it has several or none. */
export const readScalar = (tensor: Tensor): number => {
  if (elementCount(tensor.shape) !== 1)
    throw new CompressError({
      code: 'mismatch',
      message: `one element is needed here, found shape [${tensor.shape.join(', ')}]`,
    });
  return readNumbers(tensor)[0]!;
};

const checkCount = (shape: readonly number[], length: number): void => {
  if (elementCount(shape) !== length) throw internalError(`${length} numbers given for shape [${shape.join(', ')}]`);
};

/** A constant of any numeric type from numbers, row-major, rounded to the type. */
export const tensorOf = (dtype: DataType, shape: readonly number[], numbers: ArrayLike<number>): MemoryTensor => {
  checkCount(shape, numbers.length);
  return new MemoryTensor(dtype, shape, encodeElements(dtype, numbers));
};

/** A floating-point constant. A Float32Array for 'float32' is taken over, not copied: do not change it afterwards. */
export const floatTensor = (
  shape: readonly number[],
  numbers: ArrayLike<number>,
  dtype: 'float32' | 'float64' | 'float16' | 'bfloat16' = 'float32',
): MemoryTensor => {
  if (dtype !== 'float32' || !(numbers instanceof Float32Array)) return tensorOf(dtype, shape, numbers);
  checkCount(shape, numbers.length);
  return new MemoryTensor(dtype, shape, new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength));
};

/** An integer constant. */
export const intTensor = (
  shape: readonly number[],
  numbers: ArrayLike<number>,
  dtype: 'int64' | 'int32' | 'int8' | 'uint8' = 'int64',
): MemoryTensor => tensorOf(dtype, shape, numbers);

/** A constant with one element and rank 0. */
export const scalar = (value: number, dtype: DataType = 'float32'): MemoryTensor => tensorOf(dtype, [], [value]);

/** Elements of a string tensor. @throws 'mismatch' for other element types, and for bytes that are not UTF-8. */
export const readStrings = (tensor: Tensor): string[] => {
  if (!(tensor instanceof StringTensor))
    throw new CompressError({ code: 'mismatch', message: `a string tensor is needed here, found ${tensor.dtype}` });
  const decoder = new TextDecoder('utf-8', { fatal: true });
  return tensor.strings.map((bytes) => decoder.decode(bytes));
};

/** A string constant. */
export const stringTensor = (shape: readonly number[], strings: readonly string[]): StringTensor => {
  checkCount(shape, strings.length);
  const encoder = new TextEncoder();
  return new StringTensor(
    shape,
    strings.map((text) => encoder.encode(text)),
  );
};

/** True when both hold the same type, shape and bytes. Reads both. */
export const sameTensor = (a: Tensor, b: Tensor): boolean => {
  if (a === b) return true;
  if (a.dtype !== b.dtype || a.shape.length !== b.shape.length || a.shape.some((dim, axis) => dim !== b.shape[axis]))
    return false;
  if (a instanceof StringTensor || b instanceof StringTensor)
    return (
      a instanceof StringTensor &&
      b instanceof StringTensor &&
      a.strings.every((bytes, index) => Buffer.compare(bytes, b.strings[index]!) === 0)
    );
  return Buffer.compare(a.bytes(), b.bytes()) === 0;
};
