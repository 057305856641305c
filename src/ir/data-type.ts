import { CompressError } from '../errors.ts';

/** Facts of one element type: its ONNX number, bits per element, and whether it is a floating-point type. */
interface DataTypeFacts {
  readonly onnx: number;
  readonly bits: number;
  readonly float: boolean;
}

/** Every tensor element type of the current ONNX IR. Strings have no fixed width (bits 0). */
export const dataTypes = {
  float32: { onnx: 1, bits: 32, float: true },
  uint8: { onnx: 2, bits: 8, float: false },
  int8: { onnx: 3, bits: 8, float: false },
  uint16: { onnx: 4, bits: 16, float: false },
  int16: { onnx: 5, bits: 16, float: false },
  int32: { onnx: 6, bits: 32, float: false },
  int64: { onnx: 7, bits: 64, float: false },
  string: { onnx: 8, bits: 0, float: false },
  bool: { onnx: 9, bits: 8, float: false },
  float16: { onnx: 10, bits: 16, float: true },
  float64: { onnx: 11, bits: 64, float: true },
  uint32: { onnx: 12, bits: 32, float: false },
  uint64: { onnx: 13, bits: 64, float: false },
  complex64: { onnx: 14, bits: 64, float: false },
  complex128: { onnx: 15, bits: 128, float: false },
  bfloat16: { onnx: 16, bits: 16, float: true },
  float8e4m3fn: { onnx: 17, bits: 8, float: true },
  float8e4m3fnuz: { onnx: 18, bits: 8, float: true },
  float8e5m2: { onnx: 19, bits: 8, float: true },
  float8e5m2fnuz: { onnx: 20, bits: 8, float: true },
  uint4: { onnx: 21, bits: 4, float: false },
  int4: { onnx: 22, bits: 4, float: false },
  float4e2m1: { onnx: 23, bits: 4, float: true },
  float8e8m0: { onnx: 24, bits: 8, float: true },
  uint2: { onnx: 25, bits: 2, float: false },
  int2: { onnx: 26, bits: 2, float: false },
  float6e2m3: { onnx: 27, bits: 6, float: true },
  float6e3m2: { onnx: 28, bits: 6, float: true },
} as const satisfies Record<string, DataTypeFacts>;

export type DataType = keyof typeof dataTypes;

const byOnnxNumber = new Map<number, DataType>(
  Object.entries(dataTypes).map(([name, facts]) => [facts.onnx, name as DataType]),
);

/** The element type with this number in ONNX's TensorProto.DataType. Throws on numbers no IR version knows. */
export const dataTypeFromOnnx = (number: number): DataType => {
  const found = byOnnxNumber.get(number);
  if (found) return found;
  throw new CompressError({
    code: 'unsupported',
    message: `tensor element type ${number} is not known to this version`,
  });
};

export const bitsOf = (dtype: DataType): number => dataTypes[dtype].bits;
export const isFloat = (dtype: DataType): boolean => dataTypes[dtype].float;

/** Bytes that `count` elements take when packed as ONNX does: sub-byte types several to a byte, the last byte padded. */
export const byteLengthOf = (dtype: DataType, count: number): number => Math.ceil((bitsOf(dtype) * count) / 8);
