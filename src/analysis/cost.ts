import { bitsOf } from '../ir/data-type.ts';
import type { Program } from '../ir/graph.ts';
import { PackedTensor } from '../ir/packed-tensor.ts';
import { elementCount } from '../ir/shape.ts';
import { StringTensor, type Tensor } from '../ir/tensor.ts';
import { allGraphs, constantOf } from '../ir/walk.ts';

/** What the constants of a program amount to. */
export interface Cost {
  /** Elements, those that packed weights stand for. */
  readonly parameters: number;
  /** Bytes in a file: packed weights as integers, scales and zero points. */
  readonly storedBytes: number;
}

const storedBytesOf = (tensor: Tensor): number => {
  if (tensor instanceof StringTensor) return tensor.strings.reduce((sum, bytes) => sum + bytes.length, 0);
  if (!(tensor instanceof PackedTensor)) return tensor.byteLength;
  const { codes, scales, zeroPoints, dtype, rows, storedBits } = tensor.facts;
  const zeroBytes = zeroPoints ? rows * Math.ceil((tensor.groups * storedBits) / 8) : 0;
  return codes.length + (scales.length * bitsOf(dtype)) / 8 + zeroBytes;
};

/** Sums up a program's constants, each tensor once, without reading them. */
export const measureCost = (program: Program): Cost => {
  const tensors = new Set<Tensor>();
  for (const graph of allGraphs(program)) {
    const made = graph.nodes.flatMap((node) => (node.op === 'Constant' ? node.outputs : []));
    for (const value of [...graph.initializers, ...made]) {
      const tensor = constantOf(value);
      if (tensor) tensors.add(tensor);
    }
  }
  let parameters = 0;
  let storedBytes = 0;
  for (const tensor of tensors) {
    parameters += elementCount(tensor.shape);
    storedBytes += storedBytesOf(tensor);
  }
  return { parameters, storedBytes };
};
