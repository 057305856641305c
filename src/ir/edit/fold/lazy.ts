import { bitsOf, type DataType } from '../../data-type.ts';
import { packCodes, unpackCodes } from '../../elements.ts';
import { elementCount } from '../../shape.ts';
import { copyView, pickView, type View } from '../../strided.ts';
import { DerivedTensor, MemoryTensor, StringTensor, type Tensor } from '../../tensor.ts';

/** Results up to this many bytes are computed at once and kept; larger ones each time they are read. */
const largestKept = 64 * 1024;

/** A constant whose bytes `compute` gives: kept when it is small, else computed anew at each read. */
export const lazyTensor = (
  dtype: DataType,
  shape: readonly number[],
  bytes: number,
  compute: () => Uint8Array,
): Tensor =>
  bytes <= largestKept ? new MemoryTensor(dtype, shape, compute()) : new DerivedTensor(dtype, shape, compute);

/** The bytes of a tensor with one element in each `elementBytes` bytes: sub-byte types take a whole byte. */
export const wholeElements = (tensor: Tensor): { bytes: Uint8Array; elementBytes: number } => {
  const bits = bitsOf(tensor.dtype);
  if (bits >= 8) return { bytes: tensor.bytes(), elementBytes: bits / 8 };
  return { bytes: unpackCodes(tensor.bytes(), bits, elementCount(tensor.shape)), elementBytes: 1 };
};

/** The opposite of wholeElements. */
export const packElements = (dtype: DataType, bytes: Uint8Array): Uint8Array =>
  bitsOf(dtype) >= 8 ? bytes : packCodes(bytes, bitsOf(dtype));

/** True for elements that can be moved around one by one. */
export const isMovable = (dtype: DataType): boolean => dtype !== 'complex128';

/** A constant seen through a view; `shape` is the result's, with as many elements as the view. */
export const viewTensor = (tensor: Tensor, view: View, shape: readonly number[] = view.shape): Tensor => {
  if (tensor instanceof StringTensor) return new StringTensor(shape, pickView(view, tensor.strings));
  const byteLength = Math.ceil((elementCount(shape) * bitsOf(tensor.dtype)) / 8);
  return lazyTensor(tensor.dtype, shape, byteLength, () => {
    const { bytes, elementBytes } = wholeElements(tensor);
    return packElements(tensor.dtype, copyView(view, bytes, elementBytes));
  });
};

/** The same elements in another shape. */
export const reshapedTensor = (tensor: Tensor, shape: readonly number[]): Tensor => {
  if (tensor instanceof StringTensor) return new StringTensor(shape, tensor.strings);
  return tensor instanceof MemoryTensor
    ? new MemoryTensor(tensor.dtype, shape, tensor.bytes())
    : new DerivedTensor(tensor.dtype, shape, () => tensor.bytes());
};
