import { bitsOf } from '../ir/data-type.ts';
import { floatTensor, readFloats } from '../ir/read.ts';
import { elementCount } from '../ir/shape.ts';
import { DerivedTensor, FileTensor, type Tensor } from '../ir/tensor.ts';
import { transposeF32 } from '../kernels/index.ts';

/** Tensors computed from others when they are read. Nothing here reads a weight before its bytes are asked for. */

type ComputeType = 'float32' | 'float16' | 'bfloat16';

const derive = (shape: readonly number[], dtype: ComputeType, compute: () => Float32Array): Tensor =>
  new DerivedTensor(dtype, shape, () => floatTensor(shape, compute(), dtype).bytes());

/** The same numbers in another type; the tensor itself where nothing changes. */
export const castTensor = (tensor: Tensor, dtype: ComputeType): Tensor =>
  tensor.dtype === dtype ? tensor : derive(tensor.shape, dtype, () => readFloats(tensor));

/** A matrix (rows, columns) as (columns, rows). */
export const transposeTensor = (tensor: Tensor, dtype: ComputeType): Tensor => {
  const [rows = 0, columns = 0] = tensor.shape;
  return derive([columns, rows], dtype, () => transposeF32(readFloats(tensor), rows, columns));
};

/** `offset + w` for every element. */
export const offsetTensor = (tensor: Tensor, offset: number, dtype: ComputeType): Tensor =>
  derive(tensor.shape, dtype, () => readFloats(tensor).map((element) => offset + element));

/** `elementCount(shape)` elements in a row from `begin`, seen as `shape`; files are read at that range only. */
export const rangeOf = (tensor: Tensor, begin: number, shape: readonly number[]): Tensor => {
  const width = bitsOf(tensor.dtype) / 8;
  if (tensor instanceof FileTensor)
    return new FileTensor(tensor.dtype, shape, tensor.path, tensor.byteOffset + begin * width);
  return new DerivedTensor(tensor.dtype, shape, () =>
    tensor.bytes().subarray(begin * width, (begin + elementCount(shape)) * width),
  );
};

/** Rows `begin` to `end` of a tensor along its first axis. */
export const rowsOf = (tensor: Tensor, begin: number, end: number): Tensor => {
  const inner = tensor.shape.slice(1);
  return rangeOf(tensor, begin * elementCount(inner), [end - begin, ...inner]);
};
