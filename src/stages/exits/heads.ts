import type { NumericArray } from '../../calibration/dataset.ts';
import { AffineMoments, affineParts } from '../../curvature/affine-fit.ts';
import { chooseRidge, ridgeCorrection } from '../../curvature/refit.ts';
import { floatsOfArray } from '../../execution/arrays.ts';

/** A head: scores = weight · features + bias. */
export interface ExitHead {
  /** (classes, features). */
  readonly weight: Float32Array;
  /** (classes). */
  readonly bias: Float32Array;
  readonly features: number;
}

/** How a stream is read by its head. */
export type Pooling =
  /** Of a picture's channels: means over a grid of so many cells a side, greatest value, and spread. */
  | { readonly kind: 'picture'; readonly cells: number; readonly cellSize: readonly [number, number] }
  /** The mean over the positions. */
  | { readonly kind: 'mean' }
  /** Every position by itself. */
  | { readonly kind: 'none' };

/** Features that a channel of a picture gives. */
export const picturesFeatures = (cells: number): number => cells ** 2 + 2;

export interface Features {
  /** (rows, width). */
  readonly data: Float64Array;
  readonly rows: number;
  readonly width: number;
}

const pictureFeatures = (array: NumericArray, { cells }: Extract<Pooling, { kind: 'picture' }>): Features => {
  const values = floatsOfArray(array);
  const [batch = 1, channels = 1, height = 1, width = 1] = array.shape;
  const [cellHeight, cellWidth] = [height / cells, width / cells];
  const grid = channels * cells ** 2;
  const row = grid + 2 * channels;
  const data = new Float64Array(batch * row);
  for (let item = 0; item < batch; item++)
    for (let channel = 0; channel < channels; channel++) {
      const from = (item * channels + channel) * height * width;
      const to = item * row;
      let [sum, squares, most] = [0, 0, Number.NEGATIVE_INFINITY];
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) {
          const value = values[from + y * width + x]!;
          const cell = Math.floor(y / cellHeight) * cells + Math.floor(x / cellWidth);
          data[to + channel * cells ** 2 + cell]! += value / (cellHeight * cellWidth);
          sum += value;
          squares += value ** 2;
          most = Math.max(most, value);
        }
      const count = height * width;
      data[to + grid + channel] = most;
      data[to + grid + channels + channel] = Math.sqrt(Math.max(0, squares / count - (sum / count) ** 2));
    }
  return { data, rows: batch, width: row };
};

/** Features that a stream gives to its head. */
export const featuresOf = (array: NumericArray, pooling: Pooling): Features => {
  if (pooling.kind === 'picture') return pictureFeatures(array, pooling);
  const values = floatsOfArray(array);
  const [batch = 1] = array.shape;
  const width = array.shape.at(-1)!;
  if (pooling.kind === 'none') return { data: Float64Array.from(values), rows: values.length / width, width };
  const positions = values.length / (batch * width);
  const data = new Float64Array(batch * width);
  for (let at = 0; at < values.length; at++)
    data[Math.floor(at / (positions * width)) * width + (at % width)]! += values[at]! / positions;
  return { data, rows: batch, width };
};

/**
 * What a head is solved from, features against scores, in two halves, so that the ridge can be chosen by what serves
 * samples best that a head is not fitted to.
 */
export class HeadMoments {
  readonly #features: number;
  readonly #classes: number;
  readonly #halves: readonly [AffineMoments, AffineMoments];

  constructor(features: number, classes: number) {
    this.#features = features;
    this.#classes = classes;
    this.#halves = [new AffineMoments(features, classes), new AffineMoments(features, classes)];
  }

  /** @param scores (rows, classes) @param sample decides the half */
  async add({ data, rows }: Features, scores: Float64Array, sample: number, signal: AbortSignal): Promise<void> {
    await this.#halves[sample % 2 === 0 ? 0 : 1].add(data, scores, rows, signal);
  }

  /** The ridge solution toward zero. @param ridge λ as a share of the mean diagonal; 'auto': chosen between the halves */
  async solve(ridge: number | 'auto', signal: AbortSignal): Promise<ExitHead> {
    const [first, second] = this.#halves;
    const sizes = { rows: this.#classes, columns: first.columns, signal };
    const chosen = ridge === 'auto' ? ((await chooseRidge(this.#halves, sizes)) ?? 1) : ridge;
    const { delta } = await ridgeCorrection({
      ...sizes,
      cross: first.cross.map((sum, index) => sum + second.cross[index]!),
      inputs: first.inputs.map((sum, index) => sum + second.inputs[index]!),
      ridge: chosen,
    });
    return { ...affineParts(delta, first), features: this.#features };
  }
}

/** weight · features + bias: (rows, classes). */
export const scoresOf = ({ weight, bias, features }: ExitHead, inputs: Float64Array, rows: number): Float64Array => {
  const classes = bias.length;
  const scores = new Float64Array(rows * classes);
  for (let row = 0; row < rows; row++)
    for (let c = 0; c < classes; c++) {
      let sum = bias[c]!;
      for (let i = 0; i < features; i++) sum += weight[c * features + i]! * inputs[row * features + i]!;
      scores[row * classes + c] = sum;
    }
  return scores;
};
