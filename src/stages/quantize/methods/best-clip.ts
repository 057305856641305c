import { internalError } from '../../../errors.ts';
import { dequantize, matmul } from '../../../kernels/index.ts';
import type { ClipChoice } from '../weights/scheme.ts';
import type { Rounded, RoundingMethod, RoundingProblem } from './method.ts';

/** What is tried, in this order: of equally good ones the first is taken. */
const candidates: readonly Exclude<ClipChoice, 'auto'>[] = ['none', 'hessian', 'mse'];

/** E_r H E_rᵀ of each row r of the error E = goal - rounded: what the rounding adds to the mean square of that output. */
const rowErrors = async (
  problem: RoundingProblem,
  rounded: Rounded,
  gram: Float32Array,
  goal: Float32Array,
): Promise<Float64Array<ArrayBuffer>> => {
  const { rows, columns, groupSize, scheme } = problem;
  const error = dequantize({ ...rounded, rows, columns, groupSize, bits: scheme.bits });
  for (let index = 0; index < error.length; index++) error[index] = goal[index]! - error[index]!;
  const product = await matmul({ a: error, b: gram, rows, inner: columns, columns, signal: problem.signal });
  return Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let at = row * columns; at < (row + 1) * columns; at++) sum += error[at]! * product[at]!;
    return sum;
  });
};

/** Copies row `row` of every array of `from` into `into`. */
const copyRow = (into: Rounded, from: Rounded, row: number, columns: number, groups: number): void => {
  into.codes.set(from.codes.subarray(row * columns, (row + 1) * columns), row * columns);
  into.scales.set(from.scales.subarray(row * groups, (row + 1) * groups), row * groups);
  if (into.zeroPoints && from.zeroPoints)
    into.zeroPoints.set(from.zeroPoints.subarray(row * groups, (row + 1) * groups), row * groups);
};

/**
 * Rounds with every way of choosing ranges and keeps for each row the one whose output has the least error. Rows do not
 * see each other when they are rounded, so what is best for each is best for all. Range searches judge by the error of
 * weights, which misleads for some rows; this judges by H.
 */
export const roundWithBestClip = async (method: RoundingMethod, problem: RoundingProblem): Promise<Rounded> => {
  const { gram, rows, columns, groupSize, scheme } = problem;
  if (!gram) throw internalError('ranges were to be chosen by the error of outputs without H');
  let weights: Float32Array | undefined;
  const goal = await method.goal?.(problem);
  const groups = Math.ceil(columns / groupSize);
  let best: Rounded | undefined;
  let least: Float64Array = new Float64Array(0);
  const clipped = new Set<number>();
  for (const clip of candidates) {
    const rounded = await method.round({ ...problem, goal, scheme: { ...scheme, clip } });
    const measured = rounded.losses;
    if (!measured) weights ??= new Float32Array(gram);
    const errors = measured ?? (await rowErrors(problem, rounded, weights!, goal ?? problem.weight));
    if (!best) {
      best = rounded;
      least = errors;
      continue;
    }
    for (let row = 0; row < rows; row++)
      if (errors[row]! < least[row]!) {
        clipped.add(row);
        copyRow(best, rounded, row, columns, groups);
        least[row] = errors[row]!;
      }
  }
  return { ...best!, facts: { ...best!.facts, clipped_rows: clipped.size } };
};
