import type { Block } from '../../analysis/blocks.ts';
import { isFloat } from '../../ir/data-type.ts';
import { evaluateDim } from '../../ir/dimension.ts';
import type { Value } from '../../ir/graph.ts';
import { elementCount } from '../../ir/shape.ts';

/** Operators whose output lies where their input does. */
const views = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Identity']);

/** The value in whose memory a value lies: itself, or what it is another view of. */
export const memoryOf = (value: Value): Value => {
  const { producer } = value;
  const viewed = producer && views.has(producer.op) ? producer.inputs[0] : undefined;
  return viewed ? memoryOf(viewed) : value;
};

/**
 * Bytes of an activation in single precision; 0 for what is no float.
 * @param symbols values of symbolic dimensions.
 * @param unknown length of a dimension that does not follow from them.
 */
export const activationBytes = (value: Value, symbols: ReadonlyMap<string, number>, unknown: number): number => {
  const { type } = value;
  if (type?.kind !== 'tensor' || !type.shape || (type.dtype && !isFloat(type.dtype))) return 0;
  return 4 * elementCount(type.shape.map((dim) => evaluateDim(dim, symbols) ?? unknown));
};

/** What one block computes and the gradients of its largest values, in bytes, of the block that takes most. */
export const largestBlock = (
  blocks: readonly Block[],
  bytesOf: (value: Value) => number,
): { readonly name: string; readonly bytes: number } => {
  let most = { name: '', bytes: 0 };
  for (const { name, nodes } of blocks) {
    const sizes = nodes.flatMap((node) =>
      node.outputs.map((value) => (value && memoryOf(value) === value ? bytesOf(value) : 0)),
    );
    const bytes = sizes.reduce((sum, size) => sum + size, 0) + 2 * Math.max(0, ...sizes);
    if (bytes > most.bytes) most = { name, bytes };
  }
  return most;
};
