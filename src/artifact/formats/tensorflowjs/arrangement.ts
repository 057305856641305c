import { elementCount } from '../../../ir/shape.ts';

/**
 * How a weight of a layer becomes a constant of the graph, and back: seen as an array of shape `split`, its axes in the
 * order `permutation`, slices of the first axis in the order `gates`, a block of zeros after it, and the result seen as
 * an array of shape `shape`.
 */
export interface Arrangement {
  /** The shape that the layer holds the weight in. */
  readonly stored: readonly number[];
  readonly split: readonly number[];
  readonly permutation: readonly number[];
  /** Slices of the first permuted axis, by the number that they have in the layer. */
  readonly gates?: readonly number[];
  /** Elements of zero that the graph's constant has after the weight's (a recurrent layer's second bias). */
  readonly zeros?: number;
  /** The shape of the constant. */
  readonly shape: readonly number[];
}

/** The weight as it is. */
export const asStored = (stored: readonly number[]): Arrangement => ({
  stored,
  split: stored,
  permutation: stored.map((_, axis) => axis),
  shape: stored,
});

/** Axes in another order, seen as `shape` (by default what the order gives). */
export const permuted = (
  stored: readonly number[],
  permutation: readonly number[],
  shape: readonly number[] = permutation.map((axis) => stored[axis]!),
): Arrangement => ({ stored, split: stored, permutation, shape });

/** For each element of the constant (without its zeros), the place of the same element in the layer's weight. */
const places = ({ split, permutation, gates }: Arrangement): Uint32Array => {
  const count = elementCount(split);
  const strides = split.map((_, axis) => elementCount(split.slice(axis + 1)));
  const lengths = permutation.map((axis) => split[axis]!);
  const steps = permutation.map((axis) => strides[axis]!);
  const found = new Uint32Array(count);
  const at = lengths.map(() => 0);
  for (let index = 0; index < count; index++) {
    let place = 0;
    for (let axis = 0; axis < at.length; axis++) {
      const coordinate = axis === 0 && gates ? gates[at[0]!]! : at[axis]!;
      place += coordinate * steps[axis]!;
    }
    found[index] = place;
    for (let axis = at.length - 1; axis >= 0; axis--) {
      at[axis]!++;
      if (at[axis]! < lengths[axis]!) break;
      at[axis] = 0;
    }
  }
  return found;
};

/** The elements of the graph's constant. */
export const toGraph = (arrangement: Arrangement, weight: ArrayLike<number>): Float32Array<ArrayBuffer> => {
  const order = places(arrangement);
  const constant = new Float32Array(order.length + (arrangement.zeros ?? 0));
  for (let index = 0; index < order.length; index++) constant[index] = weight[order[index]!]!;
  return constant;
};

/** The elements of the layer's weight. What training put in the place of zeros is added to what it stands beside. */
export const toLayer = (arrangement: Arrangement, constant: ArrayLike<number>): Float32Array<ArrayBuffer> => {
  const order = places(arrangement);
  const weight = new Float32Array(order.length);
  const second = arrangement.zeros ? order.length : undefined;
  for (let index = 0; index < order.length; index++)
    weight[order[index]!] = constant[index]! + (second === undefined ? 0 : constant[second + index]!);
  return weight;
};
