import { FileTensor, type Tensor } from '../ir/tensor.ts';
import type { StagedFile } from './staged-file.ts';

/** Bytes of a file tensor that are in memory at once while it is copied. */
const copyBytes = 8 * 1024 * 1024;

/** Appends a tensor's plain bytes to a file; tensors in files are copied piece by piece. */
export const writeTensor = async (file: StagedFile, tensor: Tensor): Promise<void> => {
  if (!(tensor instanceof FileTensor)) return file.write(tensor.bytes());
  const buffer = new Uint8Array(Math.min(copyBytes, tensor.byteLength));
  for (let begin = 0; begin < tensor.byteLength; begin += buffer.byteLength) {
    const chunk = buffer.subarray(0, Math.min(buffer.byteLength, tensor.byteLength - begin));
    tensor.readInto(chunk, begin);
    await file.write(chunk);
  }
};
