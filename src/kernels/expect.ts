import { internalError } from '../errors.ts';

/** Checks a length that the caller promised. @throws internal error with both numbers. */
export const expectLength = (what: string, array: { readonly length: number }, expected: number): void => {
  if (array.length !== expected) throw internalError(`${what} has ${array.length} elements where ${expected} belong`);
};

/** Checks a whole number that the caller promised. @throws internal error with the number and its range. */
export const expectInteger = (what: string, value: number, least: number, greatest: number): void => {
  if (!Number.isInteger(value) || value < least || value > greatest)
    throw internalError(`${what} is ${value}, which is no whole number within ${least} and ${greatest}`);
};

/** Checks rows and columns of a matrix: both fit 32 bits, the columns are at least 1. */
export const expectSize = (rows: number, columns: number): void => {
  expectInteger('the number of rows', rows, 0, 2 ** 32 - 1);
  expectInteger('the number of columns', columns, 1, 2 ** 32 - 1);
};
