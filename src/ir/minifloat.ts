import type { DataType } from './data-type.ts';

/**
 * Binary floating-point formats narrower than 32 bits: sign, exponent and mantissa bits, the exponent bias and what
 * the top codes mean (IEEE 754; OCP 8-bit Floating Point Specification 1.0; OCP Microscaling Formats 1.0).
 */
export interface MinifloatFormat {
  readonly bits: number;
  readonly exponentBits: number;
  readonly mantissaBits: number;
  readonly bias: number;
  /**
   * 'ieee': exponent all ones holds infinities and NaN. 'fn': no infinities, NaN where all bits below the sign are one.
   * 'fnuz': no infinities, no negative zero, NaN is the code of -0. 'finite': every code is a number.
   */
  readonly specials: 'ieee' | 'fn' | 'fnuz' | 'finite';
}

export const minifloats = {
  float16: { bits: 16, exponentBits: 5, mantissaBits: 10, bias: 15, specials: 'ieee' },
  bfloat16: { bits: 16, exponentBits: 8, mantissaBits: 7, bias: 127, specials: 'ieee' },
  float8e4m3fn: { bits: 8, exponentBits: 4, mantissaBits: 3, bias: 7, specials: 'fn' },
  float8e4m3fnuz: { bits: 8, exponentBits: 4, mantissaBits: 3, bias: 8, specials: 'fnuz' },
  float8e5m2: { bits: 8, exponentBits: 5, mantissaBits: 2, bias: 15, specials: 'ieee' },
  float8e5m2fnuz: { bits: 8, exponentBits: 5, mantissaBits: 2, bias: 16, specials: 'fnuz' },
  float6e2m3: { bits: 6, exponentBits: 2, mantissaBits: 3, bias: 1, specials: 'finite' },
  float6e3m2: { bits: 6, exponentBits: 3, mantissaBits: 2, bias: 3, specials: 'finite' },
  float4e2m1: { bits: 4, exponentBits: 2, mantissaBits: 1, bias: 1, specials: 'finite' },
} as const satisfies Partial<Record<DataType, MinifloatFormat>>;

export type MinifloatType = keyof typeof minifloats;

/** The number that `code` stands for. */
export const decodeMinifloat = (format: MinifloatFormat, code: number): number => {
  const { exponentBits, mantissaBits, bias, specials } = format;
  const magnitude = code & (2 ** (format.bits - 1) - 1);
  const negative = magnitude !== code;
  const exponent = magnitude >> mantissaBits;
  const mantissa = magnitude & (2 ** mantissaBits - 1);
  const topExponent = 2 ** exponentBits - 1;
  if (specials === 'ieee' && exponent === topExponent)
    return mantissa !== 0 ? Number.NaN : negative ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  if (specials === 'fn' && magnitude === 2 ** (format.bits - 1) - 1) return Number.NaN;
  if (specials === 'fnuz' && negative && magnitude === 0) return Number.NaN;
  const size =
    exponent === 0
      ? mantissa * 2 ** (1 - bias - mantissaBits)
      : (2 ** mantissaBits + mantissa) * 2 ** (exponent - bias - mantissaBits);
  return negative ? -size : size;
};

const largestMagnitude = (format: MinifloatFormat): number => {
  const all = 2 ** (format.bits - 1) - 1;
  if (format.specials === 'ieee') return all - 2 ** format.mantissaBits;
  return format.specials === 'fn' ? all - 1 : all;
};

const scratch = new DataView(new ArrayBuffer(8));

/** floor(log2(size)) of a positive finite number. */
const exponentOf = (size: number): number => {
  scratch.setFloat64(0, size);
  const biased = (scratch.getUint16(0) >> 4) & 0x7ff;
  if (biased !== 0) return biased - 1023;
  return exponentOf(size * 2 ** 64) - 64;
};

/** Rounds to the nearest integer, ties to even. */
export const roundHalfEven = (value: number): number => {
  const down = Math.floor(value);
  const rest = value - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
};

/**
 * The code nearest to `value`, ties to even. Numbers beyond the range become infinities in the 16-bit formats and the
 * largest number in narrower ones (saturation, the default of ONNX Cast); NaN stays NaN, or becomes 0 where there is none.
 */
export const encodeMinifloat = (format: MinifloatFormat, value: number): number => {
  const { mantissaBits, bias, specials } = format;
  const signBit = value < 0 || Object.is(value, -0) ? 2 ** (format.bits - 1) : 0;
  const largest = largestMagnitude(format);
  if (Number.isNaN(value)) {
    if (specials === 'finite') return 0;
    if (specials === 'fnuz') return 2 ** (format.bits - 1);
    return specials === 'fn' ? largest + 1 : largest + 1 + 2 ** (mantissaBits - 1);
  }
  const size = Math.abs(value);
  const beyond = format.bits === 16 ? largest + 1 : largest;
  let magnitude = beyond;
  if (size === 0) magnitude = 0;
  else if (Number.isFinite(size)) {
    const exponent = Math.max(exponentOf(size), 1 - bias);
    const scaled = roundHalfEven(size * 2 ** (mantissaBits - exponent));
    magnitude = Math.min((exponent + bias - 1) * 2 ** mantissaBits + scaled, beyond);
  }
  return specials === 'fnuz' && magnitude === 0 ? 0 : signBit + magnitude;
};
