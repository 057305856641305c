import { internalError } from '../errors.ts';
import { bitsOf, byteLengthOf, type DataType } from './data-type.ts';
import { decodeMinifloat, encodeMinifloat, type MinifloatType, minifloats } from './minifloat.ts';

/** Conversion between numbers and the packed little-endian bytes of tensors, for every element type. */

const decodeTables = new Map<MinifloatType, Float32Array>();

const tableOf = (dtype: MinifloatType): Float32Array => {
  const known = decodeTables.get(dtype);
  if (known) return known;
  const format = minifloats[dtype];
  const table = Float32Array.from({ length: 2 ** format.bits }, (_, code) => decodeMinifloat(format, code));
  decodeTables.set(dtype, table);
  return table;
};

const isMinifloat = (dtype: DataType): dtype is MinifloatType => dtype in minifloats;

/** Bytes at an address that is a multiple of `alignment`: the same memory where possible, else a copy. */
const alignedBytes = (bytes: Uint8Array, alignment: number): Uint8Array =>
  bytes.byteOffset % alignment === 0 ? bytes : Uint8Array.from(bytes);

/** Unsigned codes of a sub-byte type, one an element, from a bit stream that fills each byte from its low end. */
export const unpackCodes = (bytes: Uint8Array, bits: number, count: number): Uint8Array => {
  const codes = new Uint8Array(count);
  const mask = 2 ** bits - 1;
  for (let index = 0; index < count; index++) {
    const start = index * bits;
    const at = start >>> 3;
    codes[index] = ((bytes[at]! | ((bytes[at + 1] ?? 0) << 8)) >> (start & 7)) & mask;
  }
  return codes;
};

/** Packs codes of a sub-byte type into a bit stream that fills each byte from its low end. */
export const packCodes = (codes: ArrayLike<number>, bits: number): Uint8Array => {
  const bytes = new Uint8Array(Math.ceil((codes.length * bits) / 8));
  const mask = 2 ** bits - 1;
  for (let index = 0; index < codes.length; index++) {
    const start = index * bits;
    const at = start >>> 3;
    const word = (codes[index]! & mask) << (start & 7);
    bytes[at]! |= word & 0xff;
    if (word > 0xff) bytes[at + 1]! |= word >> 8;
  }
  return bytes;
};

/** A typed array over the bytes of a type that JavaScript has (copied only when the address is not aligned). */
const typedView = (dtype: DataType, bytes: Uint8Array, count: number): ArrayLike<number> | undefined => {
  const at = alignedBytes(bytes, Math.max(1, bitsOf(dtype) / 8));
  switch (dtype) {
    case 'float32':
      return new Float32Array(at.buffer, at.byteOffset, count);
    case 'float64':
      return new Float64Array(at.buffer, at.byteOffset, count);
    case 'int8':
      return new Int8Array(at.buffer, at.byteOffset, count);
    case 'uint8':
    case 'bool':
      return at;
    case 'int16':
      return new Int16Array(at.buffer, at.byteOffset, count);
    case 'uint16':
      return new Uint16Array(at.buffer, at.byteOffset, count);
    case 'int32':
      return new Int32Array(at.buffer, at.byteOffset, count);
    case 'uint32':
      return new Uint32Array(at.buffer, at.byteOffset, count);
    default:
      return undefined;
  }
};

const decodeMinifloats = (dtype: MinifloatType, bytes: Uint8Array, count: number): Float32Array => {
  const table = tableOf(dtype);
  const { bits } = minifloats[dtype];
  const at = alignedBytes(bytes, 2);
  const codes =
    bits === 16
      ? new Uint16Array(at.buffer, at.byteOffset, count)
      : bits === 8
        ? bytes
        : unpackCodes(bytes, bits, count);
  const numbers = new Float32Array(count);
  for (let index = 0; index < count; index++) numbers[index] = table[codes[index]!]!;
  return numbers;
};

const decodeSubByteIntegers = (bytes: Uint8Array, bits: number, count: number, signed: boolean): Int8Array => {
  const codes = unpackCodes(bytes, bits, count);
  const numbers = new Int8Array(count);
  const half = 2 ** (bits - 1);
  for (let index = 0; index < count; index++) {
    const code = codes[index]!;
    numbers[index] = signed && code >= half ? code - 2 * half : code;
  }
  return numbers;
};

/**
 * The numbers in a tensor's bytes. May be a view of `bytes`, so it is not to be changed. 64-bit integers come as
 * doubles (exact up to 2^53). @throws internal error for strings and complex numbers.
 */
export const decodeElements = (dtype: DataType, bytes: Uint8Array, count: number): ArrayLike<number> => {
  const view = typedView(dtype, bytes, count);
  if (view) return view;
  if (isMinifloat(dtype)) return decodeMinifloats(dtype, bytes, count);
  switch (dtype) {
    case 'int64': {
      const at = alignedBytes(bytes, 8);
      return Float64Array.from(new BigInt64Array(at.buffer, at.byteOffset, count), Number);
    }
    case 'uint64': {
      const at = alignedBytes(bytes, 8);
      return Float64Array.from(new BigUint64Array(at.buffer, at.byteOffset, count), Number);
    }
    case 'float8e8m0':
      return Float64Array.from(bytes, (code) => (code === 255 ? Number.NaN : 2 ** (code - 127)));
    case 'uint4':
    case 'uint2':
      return decodeSubByteIntegers(bytes, bitsOf(dtype), count, false);
    case 'int4':
    case 'int2':
      return decodeSubByteIntegers(bytes, bitsOf(dtype), count, true);
    default:
      throw internalError(`${dtype} elements are not numbers`);
  }
};

/** The nearest power of two code of float8e8m0, saturating. */
const encodePowerOfTwo = (value: number): number => {
  if (Number.isNaN(value)) return 255;
  if (value <= 0) return 0;
  return Math.min(254, Math.max(0, Math.round(Math.log2(value)) + 127));
};

const [leastInt64, greatestInt64] = [-(2n ** 63n), 2n ** 63n - 1n];

/** The nearest int64: 2^63 - 1 has no double of its own, and graphs write it for 'to the end'. */
const toInt64 = (number: number): bigint => {
  const exact = BigInt(Math.trunc(number));
  return exact > greatestInt64 ? greatestInt64 : exact < leastInt64 ? leastInt64 : exact;
};

/**
 * Bytes of `numbers` as elements of `dtype`. Floating-point types round to nearest, ties to even; integers are stored
 * as given and wrap around as typed arrays do. @throws internal error for strings and complex numbers.
 */
export const encodeElements = (dtype: DataType, numbers: ArrayLike<number>): Uint8Array => {
  const bytes = new Uint8Array(byteLengthOf(dtype, numbers.length));
  if (isMinifloat(dtype)) {
    const format = minifloats[dtype];
    const codes = format.bits === 16 ? new Uint16Array(bytes.buffer) : new Uint8Array(numbers.length);
    for (let index = 0; index < numbers.length; index++) codes[index] = encodeMinifloat(format, numbers[index]!);
    if (format.bits === 16) return bytes;
    return format.bits === 8 ? Uint8Array.from(codes) : packCodes(codes, format.bits);
  }
  switch (dtype) {
    case 'float32':
      new Float32Array(bytes.buffer).set(numbers);
      return bytes;
    case 'float64':
      new Float64Array(bytes.buffer).set(numbers);
      return bytes;
    case 'int8':
    case 'uint8':
      bytes.set(numbers);
      return bytes;
    case 'bool':
      for (let index = 0; index < numbers.length; index++) bytes[index] = numbers[index] ? 1 : 0;
      return bytes;
    case 'int16':
      new Int16Array(bytes.buffer).set(numbers);
      return bytes;
    case 'uint16':
      new Uint16Array(bytes.buffer).set(numbers);
      return bytes;
    case 'int32':
      new Int32Array(bytes.buffer).set(numbers);
      return bytes;
    case 'uint32':
      new Uint32Array(bytes.buffer).set(numbers);
      return bytes;
    case 'int64': {
      const words = new BigInt64Array(bytes.buffer);
      for (let index = 0; index < numbers.length; index++) words[index] = toInt64(numbers[index]!);
      return bytes;
    }
    case 'uint64': {
      const words = new BigUint64Array(bytes.buffer);
      for (let index = 0; index < numbers.length; index++) words[index] = BigInt(Math.trunc(numbers[index]!));
      return bytes;
    }
    case 'uint4':
    case 'int4':
    case 'uint2':
    case 'int2':
      return packCodes(numbers, bitsOf(dtype));
    case 'float8e8m0':
      for (let index = 0; index < numbers.length; index++) bytes[index] = encodePowerOfTwo(numbers[index]!);
      return bytes;
    default:
      throw internalError(`${dtype} elements cannot be made from numbers`);
  }
};
