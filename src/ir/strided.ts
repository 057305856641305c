import { internalError } from '../errors.ts';
import { elementCount } from './shape.ts';

/**
 * An array seen through another array's elements: element [i, j, …] is source element offset + i*strides[0] + j*strides[1] + ….
 * Transposes, slices, broadcasts and their compositions are such views; nothing is copied until `copyView`.
 */
export interface View {
  readonly shape: readonly number[];
  /** In elements; 0 repeats, negative runs backwards. */
  readonly strides: readonly number[];
  readonly offset: number;
}

/** The whole of a row-major array. */
export const wholeView = (shape: readonly number[]): View => {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  return { shape, strides, offset: 0 };
};

/** Axis `i` of the result is axis `permutation[i]` of the view. */
export const transposeView = (view: View, permutation: readonly number[]): View => ({
  shape: permutation.map((axis) => view.shape[axis]!),
  strides: permutation.map((axis) => view.strides[axis]!),
  offset: view.offset,
});

/** One axis restricted to start, start + step, … (`length` of them; all must lie inside). */
export const sliceView = (view: View, axis: number, start: number, length: number, step: number): View => ({
  shape: view.shape.map((dim, at) => (at === axis ? length : dim)),
  strides: view.strides.map((stride, at) => (at === axis ? stride * step : stride)),
  offset: view.offset + (length > 0 ? start * view.strides[axis]! : 0),
});

/** The view repeated to `shape` by the multidirectional broadcasting rule. @throws internal error where it cannot be. */
export const broadcastView = (view: View, shape: readonly number[]): View => {
  const extra = shape.length - view.shape.length;
  if (extra < 0) throw internalError(`shape [${view.shape.join(', ')}] cannot be broadcast to [${shape.join(', ')}]`);
  const strides = shape.map((dim, axis) => {
    const own = axis < extra ? 1 : view.shape[axis - extra]!;
    if (own === dim) return axis < extra ? 0 : view.strides[axis - extra]!;
    if (own === 1) return 0;
    throw internalError(`shape [${view.shape.join(', ')}] cannot be broadcast to [${shape.join(', ')}]`);
  });
  return { shape, strides, offset: view.offset };
};

/** Called for each run of `length` target elements from `target` on, whose sources start at `source` and are `stride` apart. */
export type RunVisitor = (source: number, target: number, length: number, stride: number) => void;

/** Axes of a view with those of one element left out and those that lie densely merged, outermost first. */
const mergedAxes = (view: View): { dim: number; stride: number }[] => {
  const axes: { dim: number; stride: number }[] = [];
  view.shape.forEach((dim, axis) => {
    if (dim === 1) return;
    const stride = view.strides[axis]!;
    const outer = axes.at(-1);
    if (outer && outer.stride === dim * stride) axes[axes.length - 1] = { dim: outer.dim * dim, stride };
    else axes.push({ dim, stride });
  });
  return axes;
};

/** Visits a view's elements in row-major order, one innermost run at a time. */
export const visitRuns = (view: View, visit: RunVisitor): void => {
  const total = elementCount(view.shape);
  if (total === 0) return;
  const axes = mergedAxes(view);
  const { dim: run, stride } = axes.pop() ?? { dim: 1, stride: 1 };
  const index = new Array<number>(axes.length).fill(0);
  let source = view.offset;
  for (let target = 0; target < total; target += run) {
    visit(source, target, run, stride);
    for (let at = axes.length - 1; at >= 0; at--) {
      const axis = axes[at]!;
      source += axis.stride;
      if (++index[at]! < axis.dim) break;
      source -= axis.stride * axis.dim;
      index[at] = 0;
    }
  }
};

/** The elements of a view over an array of anything, row-major. */
export const pickView = <T>(view: View, elements: ArrayLike<T>): T[] => {
  const picked: T[] = [];
  visitRuns(view, (source, _target, length, stride) => {
    for (let step = 0; step < length; step++) picked.push(elements[source + step * stride]!);
  });
  return picked;
};

type Words = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

const wordsOf = (bytes: Uint8Array, elementBytes: number): Words => {
  const aligned = bytes.byteOffset % elementBytes === 0 ? bytes : Uint8Array.from(bytes);
  const count = bytes.byteLength / elementBytes;
  switch (elementBytes) {
    case 1:
      return aligned;
    case 2:
      return new Uint16Array(aligned.buffer, aligned.byteOffset, count);
    case 4:
      return new Uint32Array(aligned.buffer, aligned.byteOffset, count);
    case 8:
      return new BigUint64Array(aligned.buffer, aligned.byteOffset, count);
    default:
      throw internalError(`elements of ${elementBytes} bytes cannot be copied one by one`);
  }
};

/** The bytes of a view, row-major. `elementBytes` is 1, 2, 4 or 8. */
export const copyView = (view: View, bytes: Uint8Array, elementBytes: number): Uint8Array => {
  const result = new Uint8Array(elementCount(view.shape) * elementBytes);
  const from = wordsOf(bytes, elementBytes);
  const to = wordsOf(result, elementBytes);
  visitRuns(view, (source, target, length, stride) => {
    if (stride === 1)
      result.set(bytes.subarray(source * elementBytes, (source + length) * elementBytes), target * elementBytes);
    else for (let step = 0; step < length; step++) to[target + step] = from[source + step * stride]!;
  });
  return result;
};
