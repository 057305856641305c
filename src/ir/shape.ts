import type { DataType } from './data-type.ts';

/**
 * One dimension: a number, a symbolic expression in canonical text (see dimension.ts: `batch`, `2*sequence+1`),
 * or null where nothing is known.
 */
export type Dim = number | string | null;
export type Shape = readonly Dim[];

/** What is known of a value. A tensor without `shape` has unknown rank. */
export type ValueType =
  | { readonly kind: 'tensor'; readonly dtype: DataType | undefined; readonly shape: Shape | undefined }
  | { readonly kind: 'sparse-tensor'; readonly dtype: DataType | undefined; readonly shape: Shape | undefined }
  | { readonly kind: 'sequence'; readonly element: ValueType }
  | { readonly kind: 'optional'; readonly element: ValueType }
  | { readonly kind: 'map'; readonly key: DataType; readonly value: ValueType };

export const tensorType = (dtype: DataType | undefined, shape?: Shape): ValueType => ({ kind: 'tensor', dtype, shape });

/** Number of elements of a shape whose dimensions are all known. An empty shape is a scalar: 1. */
export const elementCount = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);

/** True when every dimension is a number. */
export const isStatic = (shape: Shape | undefined): shape is readonly number[] =>
  shape?.every((dim) => typeof dim === 'number') ?? false;

/** `[batch, 3, ?]`, or `?` for an unknown rank. */
export const formatShape = (shape: Shape | undefined): string =>
  shape ? `[${shape.map((dim) => dim ?? '?').join(', ')}]` : '?';
