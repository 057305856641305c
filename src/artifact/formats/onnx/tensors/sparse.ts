import { CompressError } from '../../../../errors.ts';
import { bitsOf, byteLengthOf } from '../../../../ir/data-type.ts';
import { elementCount } from '../../../../ir/shape.ts';
import { DerivedTensor, type Tensor } from '../../../../ir/tensor.ts';
import { SparseTensorProtoSchema } from '../generated/onnx_pb.ts';
import { ByteReader } from '../wire/byte-reader.ts';
import { readMessage } from '../wire/read-message.ts';
import { decodeTensor, type TensorContext } from './decode-tensor.ts';

/** Dense views of sparse initializers are built in memory when they are read. */
const largestDense = 2 ** 32;

/** A sparse initializer seen as the dense tensor that it stands for, which is built when it is read. */
export const decodeSparse = (
  bytes: Uint8Array,
  context: TensorContext,
): { readonly name: string; readonly tensor: Tensor } => {
  const reader = new ByteReader({ kind: 'memory', bytes, name: context.file });
  const length = reader.length();
  reader.limit = reader.position + length;
  const { message, side } = readMessage(SparseTensorProtoSchema, reader);
  const inner = { ...context, side };
  const malformed = (reason: string, tensor: string): CompressError =>
    new CompressError({
      code: 'malformed',
      message: `sparse tensor: ${reason}`,
      where: { ...(context.file === undefined ? {} : { file: context.file }), tensor },
    });
  if (!message.values || !message.indices) throw malformed('values or indices are missing', message.values?.name ?? '');
  const values = decodeTensor(message.values, inner);
  const indices = decodeTensor(message.indices, inner).tensor;
  const shape = message.dims.map(Number);
  const count = elementCount(shape);
  const entries = elementCount(values.tensor.shape);
  const { name } = values;
  const { dtype } = values.tensor;
  if (shape.some((dim) => !Number.isSafeInteger(dim) || dim < 0))
    throw malformed(`[${shape.join(', ')}] is no shape`, name);
  if (byteLengthOf(dtype, count) > largestDense)
    throw malformed(`the dense array [${shape.join(', ')}] would take more than 4 GiB`, name);
  const isLinear = indices.shape.length === 1;
  const wanted = isLinear ? [entries] : [entries, shape.length];
  if (indices.dtype !== 'int64' || indices.shape.join() !== wanted.join())
    throw malformed(`indices are ${indices.dtype} [${indices.shape.join(', ')}] for ${entries} values`, name);
  if (bitsOf(dtype) < 8) throw malformed(`${dtype} values are not defined`, name);
  const width = bitsOf(dtype) / 8;
  const compute = (): Uint8Array => {
    const dense = new Uint8Array(count * width);
    const source = values.tensor.bytes();
    const raw = indices.bytes();
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    const rank = isLinear ? 1 : shape.length;
    for (let entry = 0; entry < entries; entry++) {
      let position = 0;
      for (let axis = 0; axis < rank; axis++) {
        const index = Number(view.getBigInt64((entry * rank + axis) * 8, true));
        const size = isLinear ? count : (shape[axis] ?? 0);
        if (index < 0 || index >= size) throw malformed(`index ${index} lies outside of ${size}`, name);
        position = isLinear ? index : position * size + index;
      }
      dense.set(source.subarray(entry * width, (entry + 1) * width), position * width);
    }
    return dense;
  };
  return { name, tensor: new DerivedTensor(dtype, shape, compute) };
};
