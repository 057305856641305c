import { matmul } from '../kernels/index.ts';
import type { RefitFold } from './refit.ts';

/** Sums from which an affine map y = W x + b is solved by least squares: a one stands behind the inputs. */
export class AffineMoments implements RefitFold {
  /** Of the outputs. */
  readonly rows: number;
  /** Of the inputs, the one included. */
  readonly columns: number;
  /** Σ z zᵀ, z = (x, 1): (columns, columns). */
  readonly inputs: Float64Array;
  /** Σ y zᵀ: (rows, columns). */
  readonly cross: Float64Array;
  /** Σ ‖y‖². */
  energy = 0;

  /** @param width of the inputs */
  constructor(width: number, rows: number) {
    this.rows = rows;
    this.columns = width + 1;
    this.inputs = new Float64Array(this.columns ** 2);
    this.cross = new Float64Array(rows * this.columns);
  }

  /** @param x (count, width) @param y (count, rows) */
  async add(x: ArrayLike<number>, y: Float64Array, count: number, signal: AbortSignal): Promise<void> {
    const { rows, columns } = this;
    const z = new Float64Array(count * columns).fill(1);
    for (let at = 0; at < count; at++)
      for (let column = 0; column < columns - 1; column++) z[at * columns + column] = x[at * (columns - 1) + column]!;
    const inputs = await matmul({ a: z, rows: columns, inner: count, b: z, columns, transposeA: true, signal });
    const cross = await matmul({ a: y, rows, inner: count, b: z, columns, transposeA: true, signal });
    for (let index = 0; index < inputs.length; index++) this.inputs[index]! += inputs[index]!;
    for (let index = 0; index < cross.length; index++) this.cross[index]! += cross[index]!;
    for (const value of y) this.energy += value ** 2;
  }
}

/** The map of a solution (rows, columns) whose last column belongs to the one. */
export const affineParts = (
  solution: Float64Array,
  { rows, columns }: Pick<AffineMoments, 'rows' | 'columns'>,
): { readonly weight: Float32Array; readonly bias: Float32Array } => {
  const width = columns - 1;
  const weight = new Float32Array(rows * width);
  const bias = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    weight.set(solution.subarray(row * columns, row * columns + width), row * width);
    bias[row] = solution[row * columns + width]!;
  }
  return { weight, bias };
};
