import { dequantize, matmul } from '../../../kernels/index.ts';
import type { Rounded, RoundingProblem } from '../methods/method.ts';

/** Squared sizes of an error and of what it is an error of; sums add up over parts of a weight. */
export interface ErrorShare {
  readonly error: number;
  readonly signal: number;
}

/** Rows that the error is estimated on: more where rows differ in what their inputs do to them. */
const sampledRows = { weights: 32, outputs: 128 } as const;

/** At most `most` row numbers, evenly spread. */
const spread = (rows: number, most: number): number[] => {
  const count = Math.min(rows, most);
  return Array.from({ length: count }, (_, index) => Math.floor((index * rows) / count));
};

const pickRows = <T extends Float32Array | Uint8Array>(x: T, width: number, rows: readonly number[], made: T): T => {
  for (const [index, row] of rows.entries()) made.set(x.subarray(row * width, (row + 1) * width), index * width);
  return made;
};

const dot = (x: ArrayLike<number>, y: ArrayLike<number>): number => {
  let sum = 0;
  for (let index = 0; index < x.length; index++) sum += x[index]! * y[index]!;
  return sum;
};

/** tr(X H Xᵀ) of X (rows, columns); |X|² without H. */
const energy = async (x: Float32Array, columns: number, gram: Float64Array | undefined): Promise<number> => {
  if (!gram) return dot(x, x);
  const product = await matmul({ a: new Float64Array(x), b: gram, rows: x.length / columns, inner: columns, columns });
  return dot(x, product);
};

/**
 * What rounding does to a matrix, on an even sample of its rows: mean square of the output's error and of the output
 * where H is known (tr E H Eᵀ, tr W H Wᵀ), else of the weights themselves.
 */
export const measureError = async (problem: RoundingProblem, rounded: Rounded): Promise<ErrorShare> => {
  const { columns, groupSize, scheme, gram } = problem;
  const rows = spread(problem.rows, gram ? sampledRows.outputs : sampledRows.weights);
  const groups = Math.ceil(columns / groupSize);
  const weight = pickRows(problem.weight, columns, rows, new Float32Array(rows.length * columns));
  const stored = dequantize({
    codes: pickRows(rounded.codes, columns, rows, new Uint8Array(rows.length * columns)),
    scales: pickRows(rounded.scales, groups, rows, new Float32Array(rows.length * groups)),
    zeroPoints: rounded.zeroPoints && pickRows(rounded.zeroPoints, groups, rows, new Uint8Array(rows.length * groups)),
    rows: rows.length,
    columns,
    groupSize,
    bits: scheme.bits,
  });
  const signal = await energy(weight, columns, gram);
  for (let index = 0; index < weight.length; index++) weight[index]! -= stored[index]!;
  return { error: await energy(weight, columns, gram), signal };
};
