import { internalError } from '../errors.ts';
import { type Floats, matmulBySize } from '../kernels/index.ts';
import { gradientDiagonal, gradientMoment, inputMoment, lossScale, type SiteCurvature } from './moments.ts';

/** What a change ΔW of a site's weights does, in means over positions; losses in nats per scored item. */
export interface ChangeMeasures {
  /** E|ΔW x|² = tr(ΔW A ΔWᵀ). */
  readonly outputError: number;
  /** lossScale · Σ_i B_ii (ΔW A ΔWᵀ)_ii: outputs taken as independent. Undefined where no gradient reaches. */
  readonly weightedOutputError: number | undefined;
  /** lossScale · tr(B ΔW A ΔWᵀ), the predicted loss. Undefined where no gradient reaches. */
  readonly loss: number | undefined;
}

/** Measures changes (rows, columns) of one site. */
export type ChangeMeter = (delta: Float32Array) => Promise<ChangeMeasures>;

/**
 * Predicted loss of quality, in nats per scored item, of changing a site's weights by `delta`: lossScale ·
 * tr(B ΔW A ΔWᵀ). Groups of a convolution are taken as independent.
 * @param delta (rows, columns) of the site's matrix
 * @returns undefined for a site that no gradient reached
 */
export const predictLoss = async (curvature: SiteCurvature, delta: Float32Array): Promise<number | undefined> =>
  (await changeMeter(curvature)(delta)).loss;

/** A change of rows that share their inputs. */
export interface RowChange {
  /** ΔW (rows, columns). */
  readonly delta: Float32Array;
  readonly rows: number;
  readonly columns: number;
  /** A (columns, columns). */
  readonly inputs: Float64Array;
}

/** Mean squares of the gradients at the outputs of some rows. */
export interface OutputGradients {
  /** diag B: (rows); undefined where no gradient reaches. */
  readonly diagonal: Float64Array | undefined;
  /** B: (rows, rows); undefined where its diagonal alone is known. */
  readonly moment: Floats | undefined;
}

/** What a change does, not scaled to nats yet. */
interface ChangeSums {
  /** tr(ΔW A ΔWᵀ). */
  readonly outputError: number;
  /** Σ_i B_ii (ΔW A ΔWᵀ)_ii. */
  readonly weighted: number;
  /** tr(B ΔW A ΔWᵀ); the same as `weighted` where the diagonal of B alone is known. */
  readonly crossed: number;
}

/** Measures a change of rows that share their inputs. */
export const changeSums = async (
  { delta, rows, columns, inputs }: RowChange,
  { diagonal, moment }: OutputGradients,
): Promise<ChangeSums> => {
  let [outputError, weighted, crossed] = [0, 0, 0];
  for (const { from, count } of partsOf(rows, moment === undefined)) {
    const d = delta.subarray(from * columns, (from + count) * columns);
    for (let begin = 0; begin < columns; begin += columnsAtOnce) {
      const width = Math.min(columnsAtOnce, columns - begin);
      // A is symmetric: its rows are its columns.
      const panel = inputs.subarray(begin * columns, (begin + width) * columns);
      const da = await matmulBySize({ a: d, rows: count, inner: columns, b: panel, columns: width, transposeB: true });
      const bda = moment && (await matmulBySize({ a: moment, rows, inner: rows, b: da, columns: width }));
      for (let row = 0; row < count; row++) {
        const own = d.subarray(row * columns + begin, row * columns + begin + width);
        const error = dot(own, da, row * width);
        outputError += error;
        weighted += error * (diagonal?.[from + row] ?? 0);
        if (bda) crossed += dot(own, bda, row * width);
      }
    }
  }
  return { outputError, weighted, crossed: moment ? crossed : weighted };
};

/** B of rows `from` to `from + rows`. */
export const gradientsOfRows = (
  { diagonal, moment }: OutputGradients,
  order: number,
  from: number,
  rows: number,
): OutputGradients => ({
  diagonal: diagonal?.subarray(from, from + rows),
  moment: moment && diagonalBlock(moment, order, from, rows),
});

/** Reads the moments of a site once, to measure many changes of it. Groups of a convolution are taken as independent. */
export const changeMeter = (curvature: SiteCurvature): ChangeMeter => {
  const { rows, columns, inputs, gradients } = curvature;
  const groupRows = rows / inputs.length;
  const scale = lossScale(curvature);
  const known = { diagonal: gradientDiagonal(curvature), moment: gradientMoment(curvature) };
  const moments = inputs.map((_, group) => inputMoment(curvature, group));
  return async (delta) => {
    if (delta.length !== rows * columns)
      throw internalError(`a change of ${delta.length} weights does not belong to a site of ${rows}×${columns}`, {
        site: curvature.site,
      });
    let [outputError, weighted, crossed] = [0, 0, 0];
    for (const [group, a] of moments.entries()) {
      const from = group * groupRows;
      const part = delta.subarray(from * columns, (from + groupRows) * columns);
      const sums = await changeSums(
        { delta: part, rows: groupRows, columns, inputs: a },
        gradientsOfRows(known, rows, from, groupRows),
      );
      outputError += sums.outputError;
      weighted += sums.weighted;
      crossed += sums.crossed;
    }
    if (!gradients) return { outputError, weightedOutputError: undefined, loss: undefined };
    return { outputError, weightedOutputError: scale * weighted, loss: scale * crossed };
  };
};

/** Rows that are taken together where B is a diagonal: they do not see each other. */
const rowsAtOnce = 1024;

/** Columns of ΔW A that are held at a time. */
const columnsAtOnce = 512;

/** Ranges of rows that can be treated by themselves: all together where B is a matrix. */
const partsOf = (rows: number, independent: boolean): { from: number; count: number }[] => {
  if (!independent) return [{ from: 0, count: rows }];
  return Array.from({ length: Math.ceil(rows / rowsAtOnce) }, (_, part) => {
    const from = part * rowsAtOnce;
    return { from, count: Math.min(rowsAtOnce, rows - from) };
  });
};

/** x · y[at …]. */
const dot = (x: ArrayLike<number>, y: ArrayLike<number>, at: number): number => {
  let sum = 0;
  for (let index = 0; index < x.length; index++) sum += x[index]! * y[at + index]!;
  return sum;
};

/** Rows and columns `from` to `from + size` of a square matrix. */
const diagonalBlock = (matrix: Floats, order: number, from: number, size: number): Floats => {
  if (size === order) return matrix;
  const block = matrix instanceof Float32Array ? new Float32Array(size * size) : new Float64Array(size * size);
  for (let row = 0; row < size; row++) {
    const start = (from + row) * order + from;
    block.set(matrix.subarray(start, start + size), row * size);
  }
  return block;
};
