import { elementCount, isStatic, type Shape } from '../../../../ir/shape.ts';

/** The number of the factor that is always one. */
export const unscaled = 0;

/**
 * Which factor stands at each element of a value. The shape has the value's rank, with 1 along axes where nothing
 * varies; `ids` (row-major) number factors, `unscaled` those that are one.
 */
export interface Pattern {
  readonly shape: readonly number[];
  readonly ids: Int32Array;
}

/** Two factors that have to be equal. */
export type Tie = readonly [number, number];

/** A pattern that varies along one axis only. */
export const patternAlong = (rank: number, axis: number, ids: Int32Array): Pattern => ({
  shape: Array.from({ length: rank }, (_, at) => (at === axis ? ids.length : 1)),
  ids,
});

/** Whether something varies along any of these axes. */
export const variesAlong = ({ shape }: Pattern, axes: readonly number[]): boolean =>
  axes.some((axis) => (shape[axis] ?? 1) > 1);

/** Axes of a rank other than one. */
export const otherAxes = (rank: number, axis: number): number[] =>
  Array.from({ length: rank }, (_, at) => at).filter((at) => at !== axis);

const stridesOf = (shape: readonly number[]): number[] => shape.map((_, axis) => elementCount(shape.slice(axis + 1)));

/** A pattern of another shape, the place of each element given by its indices. */
const gathered = (
  shape: readonly number[],
  source: Pattern,
  place: (indices: readonly number[]) => number,
): Pattern => {
  const ids = new Int32Array(elementCount(shape));
  const strides = stridesOf(shape);
  for (let index = 0; index < ids.length; index++)
    ids[index] = source.ids[place(strides.map((stride, axis) => Math.floor(index / stride) % shape[axis]!))]!;
  return { shape, ids };
};

/** What a Transpose read: axis i of `pattern` was axis `permutation[i]`. */
export const beforeTranspose = (pattern: Pattern, permutation: readonly number[]): Pattern => {
  const strides = stridesOf(pattern.shape);
  const shape = permutation.map((_, axis) => pattern.shape[permutation.indexOf(axis)]!);
  return gathered(shape, pattern, (indices) =>
    permutation.reduce((sum, source, axis) => sum + indices[source]! * strides[axis]!, 0),
  );
};

/** One element of these axes for all, and the factors that thereby have to be equal. */
export const collapse = (pattern: Pattern, axes: readonly number[]): { pattern: Pattern; ties: Tie[] } => {
  const shape = pattern.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const strides = stridesOf(pattern.shape);
  const kept = stridesOf(shape);
  const first = gathered(shape, pattern, (indices) =>
    indices.reduce((sum, index, axis) => sum + index * strides[axis]!, 0),
  );
  const ties: Tie[] = [];
  for (let index = 0; index < pattern.ids.length; index++) {
    const at = strides.reduce((sum, stride, axis) => {
      const own = Math.floor(index / stride) % pattern.shape[axis]!;
      return sum + (shape[axis] === 1 ? 0 : own * kept[axis]!);
    }, 0);
    if (first.ids[at] !== pattern.ids[index]) ties.push([first.ids[at]!, pattern.ids[index]!]);
  }
  return { pattern: first, ties };
};

/** The pattern with axes of 1 put in front, or taken away there; undefined when something varies along those. */
export const ofRank = (pattern: Pattern, rank: number): Pattern | undefined => {
  const surplus = pattern.shape.length - rank;
  if (surplus <= 0) return { ...pattern, shape: [...Array<number>(-surplus).fill(1), ...pattern.shape] };
  const leading = pattern.shape.slice(0, surplus);
  return leading.every((size) => size === 1) ? { ...pattern, shape: pattern.shape.slice(surplus) } : undefined;
};

/** A part of one axis. */
export const slicePattern = (pattern: Pattern, axis: number, begin: number, size: number): Pattern => {
  const strides = stridesOf(pattern.shape);
  const shape = pattern.shape.map((length, at) => (at === axis ? size : length));
  return gathered(shape, pattern, (indices) =>
    indices.reduce((sum, index, at) => sum + (at === axis ? index + begin : index) * strides[at]!, 0),
  );
};

/** The pattern as a part of a longer axis, nothing scaled around it. */
export const embedPattern = (pattern: Pattern, axis: number, begin: number, size: number): Pattern => {
  const length = pattern.shape[axis]!;
  const shape = pattern.shape.map((own, at) => (at === axis ? size : own));
  const strides = stridesOf(pattern.shape);
  const padded: Pattern = { shape: [pattern.ids.length + 1], ids: Int32Array.of(...pattern.ids, unscaled) };
  return gathered(shape, padded, (indices) => {
    const inside = indices[axis]! - begin;
    if (inside < 0 || inside >= length) return pattern.ids.length;
    return indices.reduce((sum, index, at) => sum + (at === axis ? inside : index) * strides[at]!, 0);
  });
};

/** Neighbouring axes of two shapes that hold the same elements: [from, to) of each. */
interface Segment {
  readonly made: readonly [number, number];
  readonly read: readonly [number, number];
}

/** Cuts two shapes of one value, before and after a Reshape, into segments, from the last axis on; unknown axes pair up. */
const segmentsOf = (made: Shape, read: Shape): Segment[] => {
  const segments: Segment[] = [];
  let [i, j] = [made.length, read.length];
  while (i > 0 && j > 0) {
    const [iEnd, jEnd] = [i, j];
    const [a, b] = [made[i - 1]!, read[j - 1]!];
    if (a === 1 && b !== 1) i--;
    else if (b === 1 && a !== 1) j--;
    else {
      i--;
      j--;
      let left = typeof a === 'number' ? a : 0;
      let right = typeof b === 'number' ? b : 0;
      while (left !== right && left > 0 && right > 0) {
        const next = left < right ? made[--i] : read[--j];
        if (typeof next !== 'number') return [...segments, { made: [0, iEnd], read: [0, jEnd] }];
        if (left < right) left *= next;
        else right *= next;
      }
      if (left !== right) return [...segments, { made: [0, iEnd], read: [0, jEnd] }];
    }
    segments.push({ made: [i, iEnd], read: [j, jEnd] });
  }
  if (i > 0 || j > 0) segments.push({ made: [0, i], read: [0, j] });
  return segments;
};

/**
 * What a Reshape read, from the shapes that it made and read. Undefined when the axes that vary cannot be told from
 * those that do not.
 */
export const beforeReshape = (pattern: Pattern, made: Shape, read: Shape): Pattern | undefined => {
  const shape = Array<number>(read.length).fill(1);
  let spread = pattern;
  for (const segment of segmentsOf(made, read)) {
    const [from, to] = segment.made;
    const axes = Array.from({ length: to - from }, (_, at) => from + at);
    if (!variesAlong(pattern, axes)) continue;
    const sizes = made.slice(from, to);
    const wanted = read.slice(...segment.read);
    if (!isStatic(sizes) || !isStatic(wanted) || elementCount(sizes) !== elementCount(wanted)) return undefined;
    spread = spreadOver(spread, axes, sizes);
    shape.splice(segment.read[0], wanted.length, ...wanted);
  }
  return { shape, ids: spread.ids };
};

/** The pattern with its full length along axes where it does not vary. */
const spreadOver = (pattern: Pattern, axes: readonly number[], sizes: readonly number[]): Pattern => {
  const strides = stridesOf(pattern.shape);
  const shape = pattern.shape.map((size, axis) => (axes.includes(axis) ? sizes[axes.indexOf(axis)]! : size));
  return gathered(shape, pattern, (indices) =>
    indices.reduce((sum, index, axis) => sum + (pattern.shape[axis] === 1 ? 0 : index * strides[axis]!), 0),
  );
};
