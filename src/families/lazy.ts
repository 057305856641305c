import { bitsOf } from '../ir/data-type.ts';
import { PackedTensor } from '../ir/packed-tensor.ts';
import { floatTensor, readFloats } from '../ir/read.ts';
import { elementCount } from '../ir/shape.ts';
import { DerivedTensor, FileTensor, type Tensor } from '../ir/tensor.ts';
import { transposeF32 } from '../kernels/index.ts';

/** Tensors computed from others when they are read. Nothing here reads a weight before its bytes are asked for. */

type ComputeType = 'float32' | 'float16' | 'bfloat16';

/** How a lazy tensor was made of another one; a cast to another type changes no place and is not told. */
export type Derivation =
  | { readonly kind: 'transpose'; readonly of: Tensor }
  | { readonly kind: 'offset'; readonly of: Tensor; readonly offset: number }
  | { readonly kind: 'range'; readonly of: Tensor; readonly begin: number }
  | { readonly kind: 'cast'; readonly of: Tensor };

const derivations = new WeakMap<Tensor, Derivation>();

/** How a tensor was made by the functions of this file; undefined for any other tensor. */
export const derivationOf = (tensor: Tensor): Derivation | undefined => derivations.get(tensor);

const noted = (made: Tensor, derivation: Derivation): Tensor => {
  derivations.set(made, derivation);
  return made;
};

const derive = (shape: readonly number[], dtype: ComputeType, compute: () => Float32Array): Tensor =>
  new DerivedTensor(dtype, shape, () => floatTensor(shape, compute(), dtype).bytes());

/** The same numbers in another type; the tensor itself where nothing changes. */
export const castTensor = (tensor: Tensor, dtype: ComputeType): Tensor => {
  if (tensor.dtype === dtype) return tensor;
  const made =
    tensor instanceof PackedTensor ? tensor.seenAs({ dtype }) : derive(tensor.shape, dtype, () => readFloats(tensor));
  return noted(made, { kind: 'cast', of: tensor });
};

/** A matrix (rows, columns) as (columns, rows). */
export const transposeTensor = (tensor: Tensor, dtype: ComputeType): Tensor => {
  const [rows = 0, columns = 0] = tensor.shape;
  const made =
    tensor instanceof PackedTensor && tensor.facts.layout === 'rows-first'
      ? tensor.seenAs({ dtype, shape: [columns, rows], layout: 'rows-last' })
      : derive([columns, rows], dtype, () => transposeF32(readFloats(tensor), rows, columns));
  return noted(made, { kind: 'transpose', of: tensor });
};

/** `offset + w` for every element. */
export const offsetTensor = (tensor: Tensor, offset: number, dtype: ComputeType): Tensor =>
  noted(
    derive(tensor.shape, dtype, () => readFloats(tensor).map((element) => offset + element)),
    { kind: 'offset', of: tensor, offset },
  );

/** `elementCount(shape)` elements in a row from `begin`, seen as `shape`; files are read at that range only. */
export const rangeOf = (tensor: Tensor, begin: number, shape: readonly number[]): Tensor => {
  const width = bitsOf(tensor.dtype) / 8;
  const made =
    tensor instanceof FileTensor
      ? new FileTensor(tensor.dtype, shape, tensor.path, tensor.byteOffset + begin * width)
      : new DerivedTensor(tensor.dtype, shape, () =>
          tensor.bytes().subarray(begin * width, (begin + elementCount(shape)) * width),
        );
  return noted(made, { kind: 'range', of: tensor, begin });
};

/** Rows `begin` to `end` of a tensor along its first axis. */
export const rowsOf = (tensor: Tensor, begin: number, end: number): Tensor => {
  const inner = tensor.shape.slice(1);
  const first = begin * elementCount(inner);
  if (tensor instanceof PackedTensor && tensor.facts.layout === 'rows-first' && tensor.shape.length === 2)
    return noted(tensor.rowRange(begin, end), { kind: 'range', of: tensor, begin: first });
  return rangeOf(tensor, first, [end - begin, ...inner]);
};
