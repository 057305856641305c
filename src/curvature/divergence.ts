import type { NumericArray } from '../calibration/dataset.ts';
import { internalError } from '../errors.ts';
import { floatsOfArray } from '../execution/arrays.ts';
import { elementCount } from '../ir/shape.ts';
import { softmaxMetrics } from '../kernels/index.ts';
import { toLogits } from '../metrics/outputs.ts';
import type { OutputReading } from './readings.ts';

type Arrays = ReadonlyMap<string, NumericArray>;

/** Numbers of an array with one axis moved to the end: (rows, length of the axis). */
const withAxisLast = (array: NumericArray, axis: number): { data: Float32Array; width: number } => {
  const floats = floatsOfArray(array);
  const width = array.shape[axis]!;
  const inner = elementCount(array.shape.slice(axis + 1));
  if (inner === 1) return { data: floats, width };
  const data = new Float32Array(floats.length);
  const outer = floats.length / (width * inner);
  for (let block = 0; block < outer; block++)
    for (let at = 0; at < inner; at++)
      for (let index = 0; index < width; index++)
        data[(block * inner + at) * width + index] = floats[(block * width + index) * inner + at]!;
  return { data, width };
};

const sum = (numbers: Iterable<number>): number => {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
};

const categorical = async (reading: OutputReading, before: NumericArray, after: NumericArray): Promise<number> => {
  const kind = reading.kind === 'probabilities' ? 'probabilities' : 'scores';
  const { data, width } = withAxisLast(after, reading.axis);
  const reference = toLogits(withAxisLast(before, reading.axis).data, kind);
  const labels = new Int32Array(data.length / width);
  const { kl } = await softmaxMetrics({ logits: toLogits(data, kind), labels, reference });
  return sum(kl!);
};

const chances = (before: Float32Array, after: Float32Array): number => {
  const term = (p: number, q: number): number => (p <= 0 ? 0 : p * Math.log(p / Math.max(q, 1e-12)));
  let total = 0;
  for (const [index, p] of before.entries()) total += term(p, after[index]!) + term(1 - p, 1 - after[index]!);
  return total;
};

const halfSquares = (before: Float32Array, after: Float32Array): number => {
  let total = 0;
  for (const [index, mean] of before.entries()) total += 0.5 * (after[index]! - mean) ** 2;
  return total;
};

/** Items of a run: decisions of the first output (tokens, images, boxes), or its numbers where it is a regression. */
export const itemsOf = ([first]: readonly OutputReading[], outputs: Arrays): number => {
  const array = first && outputs.get(first.value.name);
  if (!first || !array) throw internalError('the first output of a run is missing');
  const count = elementCount(array.shape);
  return first.kind === 'logits' || first.kind === 'probabilities' ? count / array.shape[first.axis]! : count;
};

/**
 * D(before ‖ after) of one run in nats, summed over items and outputs: what the curvature predicts. Outputs that `after`
 * does not have are taken as unchanged.
 */
export const divergenceOf = async (
  readings: readonly OutputReading[],
  before: Arrays,
  after: Arrays,
): Promise<number> => {
  let total = 0;
  for (const reading of readings) {
    const [p, q] = [before.get(reading.value.name), after.get(reading.value.name)];
    if (!p || !q) continue;
    if (reading.kind === 'chance') total += chances(floatsOfArray(p), floatsOfArray(q));
    else if (reading.kind === 'gaussian') total += halfSquares(floatsOfArray(p), floatsOfArray(q));
    else total += await categorical(reading, p, q);
  }
  return total;
};
