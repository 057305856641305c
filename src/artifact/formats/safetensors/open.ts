import { CompressError } from '../../../errors.ts';
import type { TensorSource } from '../../../families/family.ts';
import { byteLengthOf } from '../../../ir/data-type.ts';
import { elementCount } from '../../../ir/shape.ts';
import { FileTensor, type Tensor } from '../../../ir/tensor.ts';
import { readSafetensorsHeader } from '../../../kernels/index.ts';
import { dataTypeFromSafetensors } from './data-types.ts';

/** Tensors of one or several safetensors files. */
export interface SafetensorsSource extends TensorSource {
  /** Free text of the header (of the first file where there are several). */
  readonly metadata: ReadonlyMap<string, string>;
  /** The files that the tensors lie in, absolute or as given. */
  readonly files: readonly string[];
}

/** The error for a tensor that is not there. */
export const missingTensor = (name: string, origin: string): CompressError =>
  new CompressError({
    code: 'not-found',
    message: `there is no tensor ${name}`,
    where: { file: origin, tensor: name },
  });

/**
 * Opens a safetensors file: its header is validated wholly, its tensors are read when they are asked for.
 * @throws malformed (with what is wrong in the header), not-found, unsupported for an element type of a later version.
 */
export const openSafetensors = (path: string): SafetensorsSource => {
  const header = readSafetensorsHeader(path);
  const tensors = new Map<string, Tensor>();
  for (const { name, dtype, shape, begin, end } of header.tensors) {
    const type = dataTypeFromSafetensors(dtype);
    const where = { file: path, tensor: name, byteOffset: header.dataOffset + begin };
    if (!type)
      throw new CompressError({
        code: 'unsupported',
        message: `element type ${dtype} is not known to this version`,
        where,
      });
    const wanted = byteLengthOf(type, elementCount(shape));
    if (wanted !== end - begin)
      throw new CompressError({
        code: 'malformed',
        message: `a ${dtype} tensor [${shape.join(', ')}] needs ${wanted} bytes but has ${end - begin}`,
        where,
      });
    tensors.set(name, new FileTensor(type, shape, path, header.dataOffset + begin));
  }
  return {
    names: [...tensors.keys()],
    origin: path,
    metadata: header.metadata,
    files: [path],
    has: (name) => tensors.has(name),
    get: (name) => {
      const tensor = tensors.get(name);
      if (!tensor) throw missingTensor(name, path);
      return tensor;
    },
  };
};
