import type { DataType } from '../data-type.ts';
import { type Dim, type Shape, tensorType, type ValueType } from '../shape.ts';

/**
 * What inference knows of a value: its type, and the elements of a small tensor, row-major, as dimensions (numbers,
 * symbolic expressions, or null for an unknown element). Elements of floating-point tensors are numbers or null,
 * booleans are 0, 1 or null. The tensor has as many elements as `contents`, so its shape is static where they are known.
 */
export interface Fact {
  readonly type: ValueType | undefined;
  readonly contents?: readonly Dim[] | undefined;
}

/** Tensors with more elements are not followed element by element. */
export const largestContents = 512;

/** A fact about a tensor. */
export const tensorFact = (dtype: DataType | undefined, shape?: Shape, contents?: readonly Dim[]): Fact => ({
  type: tensorType(dtype, shape),
  contents: contents && contents.length <= largestContents ? contents : undefined,
});

/** Nothing is known. */
export const unknownFact: Fact = { type: undefined };
