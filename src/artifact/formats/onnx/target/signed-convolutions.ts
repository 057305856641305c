import { nameSource } from '../../../../ir/edit/names.ts';
import type { Program } from '../../../../ir/graph.ts';
import { DerivedTensor, MemoryTensor, type Tensor } from '../../../../ir/tensor.ts';
import { constantOf, graphsWithin } from '../../../../ir/walk.ts';

const raise = (bytes: Uint8Array): Uint8Array => bytes.map((byte) => byte ^ 0x80);

/**
 * Stores the signed weights of ConvInteger unsigned, zero points with them, in place: the differences that the operator
 * multiplies stay the same. Gives how many it changed.
 */
export const storeConvolutionsUnsigned = (program: Program): number => {
  let changed = 0;
  for (const graph of graphsWithin(program.graph)) {
    const names = nameSource(graph);
    for (const node of graph.nodes) {
      if (node.op !== 'ConvInteger' || node.domain !== '') continue;
      const weight = constantOf(node.inputs[1]);
      const zero = constantOf(node.inputs[3]);
      if (weight?.dtype !== 'int8' || (node.inputs[3] && !zero)) continue;
      const unsigned = (tensor: Tensor): Tensor =>
        new DerivedTensor('uint8', tensor.shape, () => raise(tensor.bytes()));
      const zeroPoint = zero ? unsigned(zero) : new MemoryTensor('uint8', [], Uint8Array.of(0x80));
      node.setInput(1, graph.addInitializer(names.fresh(`${node.inputs[1]!.name}_u8`), unsigned(weight)));
      node.setInput(3, graph.addInitializer(names.fresh(`${node.inputs[1]!.name}_zero_point`), zeroPoint));
      changed++;
    }
  }
  return changed;
};
