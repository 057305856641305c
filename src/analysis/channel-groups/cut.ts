import { CompressError, internalError } from '../../errors.ts';
import { removeDead } from '../../ir/edit/remove-dead.ts';
import { setConstant } from '../../ir/edit/replace.ts';
import type { Program, Value } from '../../ir/graph.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import { tensorType } from '../../ir/shape.ts';
import { MemoryTensor, type Tensor } from '../../ir/tensor.ts';
import { constantOf, graphsWithin } from '../../ir/walk.ts';
import type { Axis, AxisTable } from './axes.ts';

/** The elements of a tensor at chosen places of one axis; whole bytes an element. */
const selectAlong = (
  bytes: Uint8Array,
  shape: readonly number[],
  axis: number,
  kept: readonly number[],
): Uint8Array => {
  const outer = shape.slice(0, axis).reduce((size, length) => size * length, 1);
  const length = shape[axis]!;
  const inner = bytes.length / (outer * length);
  const result = new Uint8Array(outer * kept.length * inner);
  for (let row = 0; row < outer; row++)
    kept.forEach((element, at) => {
      const from = (row * length + element) * inner;
      result.set(bytes.subarray(from, from + inner), (row * kept.length + at) * inner);
    });
  return result;
};

const cutTensor = (tensor: Tensor, kept: ReadonlyMap<number, readonly number[]>): Tensor => {
  let bytes = tensor.bytes();
  let shape = tensor.shape;
  for (const [axis, elements] of kept) {
    bytes = selectAlong(bytes, shape, axis, elements);
    shape = shape.with(axis, elements.length);
  }
  return new MemoryTensor(tensor.dtype, shape, bytes);
};

/**
 * Takes elements out of every constant that an axis lies on and lets nodes rewrite the lengths that they hold; types are
 * inferred anew.
 * @throws 'mismatch' where an axis would lose all of its elements, internal errors when shapes do not fit afterwards.
 */
export const cutProgram = (
  program: Program,
  table: AxisTable,
  isGone: (axis: Axis, element: number) => boolean,
): void => {
  const keptOf = new Map<Axis, readonly number[]>();
  const kept = (axis: Axis): readonly number[] => {
    const root = table.root(axis);
    const known = keptOf.get(root);
    if (known) return known;
    const elements = Array.from({ length: table.size(root) }, (_, element) => element);
    const left = elements.filter((element) => !isGone(root, element));
    keptOf.set(root, left);
    return left;
  };
  const cuts = new Map<Value, Map<number, readonly number[]>>();
  for (const axis of table.roots()) {
    const left = kept(axis);
    if (left.length === table.size(axis)) continue;
    for (const { value, axis: at } of table.places(axis)) {
      if (!constantOf(value)) continue;
      if (left.length === 0)
        throw new CompressError({
          code: 'mismatch',
          message: `all ${table.size(axis)} channels along axis ${at} of ${value.name} would be removed`,
          where: { tensor: value.name },
          hint: 'Ask for less to be removed, or keep at least one channel of each group.',
        });
      const known = cuts.get(value) ?? new Map<number, readonly number[]>();
      cuts.set(value, known.set(at, left));
    }
  }
  for (const [value, axes] of cuts) setConstant(value, cutTensor(constantOf(value)!, axes));
  for (const adjust of table.adjustments) adjust({ kept });
  removeDead(program);
  retype(program);
};

/** Infers all types anew; what inputs and outputs of the model state about themselves still holds. */
const retype = (program: Program): void => {
  const outputs = new Set(program.graph.outputs);
  for (const graph of graphsWithin(program.graph))
    for (const node of graph.nodes)
      for (const value of node.outputs)
        if (value && !outputs.has(value) && value.type?.kind === 'tensor') value.type = tensorType(value.type.dtype);
  const { problems, contradictions } = inferShapes(program);
  const [problem] = [...problems, ...contradictions];
  if (problem) throw internalError(`a cut of channels left shapes that do not fit: ${problem.message}`);
};
