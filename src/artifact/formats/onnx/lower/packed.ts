import type { Graph, Node, Program, Value } from '../../../../ir/graph.ts';
import { type PackedFacts, PackedTensor } from '../../../../ir/packed-tensor.ts';
import { MemoryTensor, type Tensor } from '../../../../ir/tensor.ts';
import { constantOf, graphsWithin } from '../../../../ir/walk.ts';
import { floatToBytes, packRows } from '../../../../kernels/index.ts';

/** A packed constant of a program and where it stands. */
export interface PackedConstant {
  readonly value: Value;
  readonly tensor: PackedTensor;
  /** The graph whose initializer or Constant node it is. */
  readonly graph: Graph;
  /** The Constant node, where it is one. */
  readonly node: Node | undefined;
}

/** Every packed constant of a program, in bodies too. */
export const packedConstants = (program: Program): PackedConstant[] => {
  const found: PackedConstant[] = [];
  for (const graph of graphsWithin(program.graph)) {
    for (const value of graph.initializers)
      if (value.tensor instanceof PackedTensor) found.push({ value, tensor: value.tensor, graph, node: undefined });
    for (const node of graph.nodes) {
      const value = node.outputs[0];
      const tensor = node.op === 'Constant' ? constantOf(value) : undefined;
      if (value && tensor instanceof PackedTensor) found.push({ value, tensor, graph, node });
    }
  }
  return found;
};

/** Removes a constant that nothing reads any more, from the graph's inputs too where it was listed there. */
export const removeConstant = ({ value, graph, node }: PackedConstant): void => {
  if (node) graph.remove(node);
  graph.initializers.delete(value);
  const index = graph.inputs.indexOf(value);
  if (index >= 0) graph.inputs.splice(index, 1);
};

/** The zero that a symmetric grid of this many bits has. */
export const middleOf = (facts: PackedFacts): number => 2 ** (facts.bits - 1);

/** Scales in the weight's element type. */
export const scalesTensor = (facts: PackedFacts, shape: readonly number[], scales: Float32Array): Tensor =>
  new MemoryTensor(facts.dtype, shape, floatToBytes(scales, facts.dtype));

/** Zero points (rows, groups), one a byte, packed per row to whole bytes as com.microsoft operators take them. */
export const packedZeroPoints = (zeroPoints: Uint8Array, rows: number, bits: PackedFacts['storedBits']): Tensor => {
  const groups = zeroPoints.length / rows;
  const bytes = packRows({ codes: zeroPoints, rows, columns: groups, bits });
  return new MemoryTensor('uint8', [rows, bytes.length / rows], bytes);
};

/** One value per block of `blockSize` columns from one per group of `groupSize` columns, a multiple of it. */
export const perBlock = <T extends Float32Array | Uint8Array>(
  perGroup: T,
  facts: PackedFacts,
  blockSize: number,
): T => {
  const { rows, columns, groupSize } = facts;
  const blocks = Math.ceil(columns / blockSize);
  const groups = Math.ceil(columns / groupSize);
  if (blocks === groups) return perGroup;
  const made = (
    perGroup instanceof Float32Array ? new Float32Array(rows * blocks) : new Uint8Array(rows * blocks)
  ) as T;
  for (let row = 0; row < rows; row++)
    for (let block = 0; block < blocks; block++)
      made[row * blocks + block] = perGroup[row * groups + Math.floor((block * blockSize) / groupSize)]!;
  return made;
};

/** The same weight with its codes stored in 4 bits. */
export const widenToFourBits = (tensor: PackedTensor): PackedTensor => {
  const { facts } = tensor;
  const { rows, columns } = facts;
  const codes = packRows({ codes: tensor.unpackedCodes(), rows, columns, bits: 4 });
  return new PackedTensor({ ...facts, storedBits: 4, codes });
};
