import { CompressError } from '../../../errors.ts';
import type { DataType } from '../../../ir/data-type.ts';

/** Element types by their names in safetensors headers. */
const byName: Readonly<Record<string, DataType>> = {
  BOOL: 'bool',
  U8: 'uint8',
  I8: 'int8',
  U16: 'uint16',
  I16: 'int16',
  U32: 'uint32',
  I32: 'int32',
  U64: 'uint64',
  I64: 'int64',
  F16: 'float16',
  BF16: 'bfloat16',
  F32: 'float32',
  F64: 'float64',
  C64: 'complex64',
  F8_E4M3: 'float8e4m3fn',
  F8_E5M2: 'float8e5m2',
  F8_E4M3FNUZ: 'float8e4m3fnuz',
  F8_E5M2FNUZ: 'float8e5m2fnuz',
  F8_E8M0: 'float8e8m0',
  F6_E2M3: 'float6e2m3',
  F6_E3M2: 'float6e3m2',
  F4: 'float4e2m1',
};

const byDataType = new Map(Object.entries(byName).map(([name, dtype]) => [dtype, name]));

export const dataTypeFromSafetensors = (name: string): DataType | undefined => byName[name];

/** @throws unsupported for types that safetensors does not have (strings, 4- and 2-bit integers, complex128). */
export const safetensorsName = (dtype: DataType, tensor: string): string => {
  const name = byDataType.get(dtype);
  if (name) return name;
  throw new CompressError({
    code: 'unsupported',
    message: `safetensors has no element type for ${dtype}`,
    where: { tensor },
    hint: 'Store packed values as uint8.',
  });
};
