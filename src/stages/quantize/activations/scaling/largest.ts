import { readFloats } from '../../../../ir/read.ts';
import { elementCount } from '../../../../ir/shape.ts';
import { constantOf } from '../../../../ir/walk.ts';
import { ofRank } from './pattern.ts';
import type { ScaledConstant } from './step.ts';

/** Largest magnitude of the elements that each factor scales, by the number of the factor; undefined for other shapes. */
export const largestByFactor = ({ node, index, pattern }: ScaledConstant): Map<number, number> | undefined => {
  const tensor = constantOf(node.inputs[index]);
  const aligned = tensor && ofRank(pattern, tensor.shape.length);
  if (!tensor || !aligned) return undefined;
  const numbers = readFloats(tensor);
  const steps = tensor.shape.map((size, axis) => ({
    size,
    stride: elementCount(tensor.shape.slice(axis + 1)),
    factor: aligned.shape[axis] === 1 ? 0 : elementCount(aligned.shape.slice(axis + 1)),
  }));
  const largest = new Map<number, number>();
  for (const [at, number] of numbers.entries()) {
    const place = steps.reduce((sum, { size, stride, factor }) => sum + (Math.floor(at / stride) % size) * factor, 0);
    const id = aligned.ids[place]!;
    largest.set(id, Math.max(largest.get(id) ?? 0, Math.abs(number)));
  }
  return largest;
};
