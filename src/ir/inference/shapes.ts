import { addDims, sameDim } from '../dimension.ts';
import { type Dim, formatShape, type Shape } from '../shape.ts';
import type { Call } from './call.ts';

/** Shape rules that operators share. */

/** Whether `a` is min(n, b) with n > 1: the two can only go together where they are equal. */
const isClampOf = (a: Dim, b: Dim): boolean => {
  const [, limit, rest] = /^min\((\d+),(.+)\)$/.exec(String(a)) ?? [];
  return Number(limit) > 1 && rest !== undefined && sameDim(rest, b) === true;
};

/** One dimension of a multidirectional broadcast. @throws InferenceProblem when the two cannot go together. */
const broadcastDim = (call: Call, a: Dim, b: Dim, shapes: readonly [Shape, Shape]): Dim => {
  if (a === 1) return b;
  if (b === 1) return a;
  const same = sameDim(a, b);
  if (same) return a;
  if (typeof a === 'number' && typeof b === 'number')
    call.problem(`shapes ${formatShape(shapes[0])} and ${formatShape(shapes[1])} cannot be broadcast together`);
  if (typeof a === 'number') return a;
  if (typeof b === 'number') return b;
  if (isClampOf(a, b)) return b;
  return isClampOf(b, a) ? a : null;
};

/** The shape of an elementwise result (numpy broadcasting); undefined when a rank is unknown. */
export const broadcastShapes = (call: Call, shapes: readonly (Shape | undefined)[]): Shape | undefined => {
  let result: Shape = [];
  for (const shape of shapes) {
    if (!shape) return undefined;
    const rank = Math.max(result.length, shape.length);
    const pair = [result, shape] as const;
    const at = (of: Shape, axis: number): Dim => of[axis - rank + of.length] ?? (axis < rank - of.length ? 1 : null);
    result = Array.from({ length: rank }, (_, axis) => broadcastDim(call, at(pair[0], axis), at(pair[1], axis), pair));
  }
  return result;
};

/** What two accounts of one dimension say together. @throws InferenceProblem when they differ. */
export const unifyDim = (call: Call, a: Dim | undefined, b: Dim | undefined, what: string): Dim => {
  if (a === null || a === undefined) return b ?? null;
  if (b === null || b === undefined) return a;
  if (sameDim(a, b) === false) call.problem(`${what}: ${a} and ${b} differ`);
  return typeof b === 'number' ? b : a;
};

/** What holds for both of two shapes: dimensions that are the same. */
export const commonShape = (a: Shape | undefined, b: Shape | undefined): Shape | undefined => {
  if (!a || !b || a.length !== b.length) return undefined;
  return a.map((dim, axis) => (sameDim(dim, b[axis]!) ? dim : null));
};

/** A shape with one dimension replaced. */
export const withDim = (shape: Shape, axis: number, dim: Dim): Shape =>
  shape.map((old, at) => (at === axis ? dim : old));

/** Files may state absurd ranks; nothing is said of them. */
const highestRank = 1024;

/** A shape of unknown dimensions. */
export const unknownDims = (rank: number): Shape | undefined =>
  rank >= 0 && rank <= highestRank ? new Array<Dim>(rank).fill(null) : undefined;

/** Sum of dimensions. */
export const sumOfDims = (dims: readonly Dim[]): Dim => dims.reduce<Dim>(addDims, 0);
