import type { NumericArray } from '../calibration/dataset.ts';
import { floatArray } from '../execution/arrays.ts';
import type { Feeds } from '../execution/session.ts';
import type { Batch } from './batches.ts';
import { type LossPlan, lossInputs } from './loss-graph.ts';
import type { TeacherRows } from './teacher.ts';

/** Rows that a sample takes in a batch: those of a window are padded to the batch's length. */
const rowCount = (rows: number, batch: Batch, sample: number): number =>
  rows === batch.lengths[sample] ? batch.length : rows;

/** Rows of all samples of a batch one after the other, padded with zeros. */
const stacked = <Data extends Float32Array | BigInt64Array>(
  parts: readonly Data[],
  width: number,
  batch: Batch,
  make: (length: number) => Data,
): { readonly rows: number; readonly data: Data } => {
  const sizes = parts.map((part, sample) => rowCount(part.length / width, batch, sample));
  const rows = sizes.reduce((sum, size) => sum + size, 0);
  const data = make(rows * width);
  let at = 0;
  parts.forEach((part, sample) => {
    data.set(part as never, at * width);
    at += sizes[sample]!;
  });
  return { rows, data };
};

/** Matrices (heads, positions, positions) of all samples, padded with zeros: (samples, heads, longest, longest). */
const stackedSquares = (parts: readonly TeacherRows[]): NumericArray => {
  const heads = parts[0]!.shape.at(-3) ?? 1;
  const longest = Math.max(...parts.map(({ width }) => width));
  const data = new Float32Array(parts.length * heads * longest * longest);
  parts.forEach(({ data: own, width }, sample) => {
    for (let row = 0; row < heads * width; row++) {
      const head = Math.floor(row / width);
      const to = ((sample * heads + head) * longest + (row % width)) * longest;
      data.set(own.subarray(row * width, (row + 1) * width), to);
    }
  });
  return floatArray([parts.length, heads, longest, longest], data);
};

/**
 * What the teachers say of a batch as feeds of the loss.
 * @param said by teacher, by sample of the batch, by value.
 */
export const taughtFeeds = (
  said: readonly (readonly (readonly TeacherRows[])[])[],
  plan: LossPlan,
  batch: Batch,
): Feeds => {
  const feeds = new Map<string, NumericArray>();
  const comparesScores = plan.distributions.some((term) => term.loss.needs === 'teacher');
  for (const [number, samples] of said.entries()) {
    const values = samples[0]?.length ?? 0;
    for (let place = 0; place < values; place++) {
      const parts = samples.map((rows) => rows[place]!);
      const { width } = parts[0]!;
      if (number === 0 && plan.squares.some(({ teacherValue }) => teacherValue === place)) {
        feeds.set(lossInputs.square(place), stackedSquares(parts));
        continue;
      }
      const { rows, data } = stacked(
        parts.map((part) => part.data),
        width,
        batch,
        (length) => new Float32Array(length),
      );
      if (place === 0 && comparesScores) {
        feeds.set(lossInputs.scores(number), floatArray([rows, width], data));
        if (parts[0]!.classes) feeds.set(lossInputs.classes(number), classesOf(parts, width - 1, batch));
      }
      if (number === 0 && plan.features.some(({ teacherValue }) => teacherValue === place))
        feeds.set(lossInputs.feature(place), floatArray([rows, width], data));
    }
  }
  return feeds;
};

const classesOf = (parts: readonly TeacherRows[], kept: number, batch: Batch): NumericArray => {
  const classes = parts.map((part) => BigInt64Array.from(part.classes!, (index) => BigInt(index)));
  const { rows, data } = stacked(classes, kept, batch, (length) => new BigInt64Array(length));
  return { dtype: 'int64', shape: [rows, kept], data };
};
