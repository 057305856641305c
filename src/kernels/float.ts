import { internalError } from '../errors.ts';
import { addon } from './addon.ts';
import { callNative } from './job.ts';

/** Floating-point types that stored bytes can be read as. */
export type FloatType = 'float64' | 'float32' | 'float16' | 'bfloat16' | 'float8e4m3fn' | 'float8e5m2';

const widths: Readonly<Record<FloatType, number>> = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  float8e4m3fn: 1,
  float8e5m2: 1,
};

/** True for element types that `bytesToFloat` reads. */
export const isDecodableFloat = (dtype: string): dtype is FloatType => Object.hasOwn(widths, dtype);

/** Reads little-endian bytes (any alignment) as numbers. float64 is rounded to the nearest float32. */
export const bytesToFloat = (bytes: Uint8Array, dtype: FloatType): Float32Array<ArrayBuffer> => {
  if (bytes.byteLength % widths[dtype] !== 0)
    throw internalError(`${bytes.byteLength} bytes are no whole number of ${dtype} elements`);
  return callNative(() => addon().decodeFloats(bytes, dtype));
};

/** Numbers rounded to a narrower type, with what the rounding did. */
export interface NarrowedFloats {
  /** Little-endian. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Results that are infinite or NaN, those that were so before included. */
  readonly nonFinite: number;
}

/** Rounds to the nearest value of a narrower type, ties to even; what is too large becomes infinite and is counted. */
export const narrowFloats = (values: Float32Array, dtype: 'float32' | 'float16' | 'bfloat16'): NarrowedFloats =>
  callNative(() => addon().encodeFloats(values, dtype));

/** Little-endian bytes of numbers in a type. Rounds as `narrowFloats` does. */
export const floatToBytes = (
  values: Float32Array,
  dtype: 'float32' | 'float16' | 'bfloat16',
): Uint8Array<ArrayBuffer> => narrowFloats(values, dtype).bytes;

/** Number of infinite and NaN values. */
export const countNonFinite = (values: Float32Array): number => addon().countNonFinite(values);

/** Position of the first infinite or NaN value, -1 when all are finite. */
export const firstNonFinite = (values: Float32Array): number => addon().firstNonFinite(values);
