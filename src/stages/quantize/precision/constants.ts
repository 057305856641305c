import type { DataType } from '../../../ir/data-type.ts';
import { PackedTensor } from '../../../ir/packed-tensor.ts';
import { readFloats } from '../../../ir/read.ts';
import { DerivedTensor, type Tensor } from '../../../ir/tensor.ts';
import { floatToBytes } from '../../../kernels/index.ts';

export type FloatTarget = 'float16' | 'bfloat16' | 'float32';

/** Largest finite number of each type, and the magnitude up to which numbers become zero. */
export const limits: Readonly<Record<FloatTarget, { readonly largest: number; readonly vanishing: number }>> = {
  float16: { largest: 65504, vanishing: 2 ** -25 },
  bfloat16: { largest: (2 - 2 ** -7) * 2 ** 127, vanishing: 2 ** -134 },
  float32: { largest: (2 - 2 ** -23) * 2 ** 127, vanishing: 0 },
};

/** What a conversion would do to the numbers of a constant. */
export interface RangeLoss {
  /** Finite numbers beyond the target's largest. */
  readonly beyond: number;
  /** Numbers that are not zero and become zero. */
  readonly vanishing: number;
  /** Numbers that are not zero. */
  readonly nonZero: number;
}

/** Counts the numbers of a constant that a type cannot hold. Reads the constant. */
export const rangeLoss = (tensor: Tensor, target: FloatTarget): RangeLoss => {
  const { largest, vanishing } = limits[target];
  const loss = { beyond: 0, vanishing: 0, nonZero: 0 };
  for (const number of readFloats(tensor)) {
    const size = Math.abs(number);
    if (size !== 0) loss.nonZero++;
    if (size > largest && size !== Number.POSITIVE_INFINITY) loss.beyond++;
    else if (size <= vanishing && size > 0) loss.vanishing++;
  }
  return loss;
};

/** Numbers in a type: nearest, ties to even; finite numbers beyond the range become the largest, infinities stay. */
const encode = (tensor: Tensor, target: FloatTarget): Uint8Array => {
  const { largest } = limits[target];
  const numbers = readFloats(tensor);
  const clamped = numbers.some((number) => Math.abs(number) > largest && Number.isFinite(number))
    ? numbers.map((number) => (Number.isFinite(number) ? Math.min(Math.max(number, -largest), largest) : number))
    : numbers;
  return floatToBytes(clamped, target);
};

/** The constant in another floating-point type, converted when it is read; packed weights only change the type they stand for. */
export const convertTensor = (tensor: Tensor, target: FloatTarget): Tensor =>
  tensor instanceof PackedTensor
    ? new PackedTensor({ ...tensor.facts, dtype: target })
    : new DerivedTensor(target as DataType, tensor.shape, () => encode(tensor, target));
