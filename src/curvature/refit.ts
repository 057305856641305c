import { internalError } from '../errors.ts';
import { matmul, solveSymmetricPositive } from '../kernels/index.ts';

export interface RidgeInput {
  /** Σ e zᵀ: (rows, columns), what is missing at the output against the inputs. */
  readonly cross: Float64Array;
  /** Σ z zᵀ over the same positions: (columns, columns). */
  readonly inputs: Float64Array;
  readonly rows: number;
  readonly columns: number;
  /** λ as a share of the mean diagonal of `inputs`. */
  readonly ridge: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Correction {
  /** ΔW: (rows, columns). */
  readonly delta: Float64Array;
  /** By how much Σ ‖e − ΔW z‖² is smaller than Σ ‖e‖². */
  readonly gained: number;
}

/**
 * ΔW = Σ e zᵀ (Σ z zᵀ + λ)⁻¹: the change of a weight that best makes up for e by its inputs z, with a ridge toward the
 * present weight. Zero where no input was ever seen.
 * @throws 'numeric' when `inputs` is not positive semi-definite.
 */
export const ridgeCorrection = async (input: RidgeInput): Promise<Correction> => {
  const { cross, inputs, rows, columns, ridge, signal } = input;
  if (cross.length !== rows * columns || inputs.length !== columns ** 2)
    throw internalError(`moments of ${cross.length} and ${inputs.length} numbers do not belong to ${rows}×${columns}`);
  let trace = 0;
  for (let index = 0; index < columns; index++) trace += inputs[index * columns + index]!;
  const delta = new Float64Array(rows * columns);
  if (!(trace > 0)) return { delta, gained: 0 };
  const lambda = (ridge * trace) / columns;
  const damped = Float64Array.from(inputs);
  for (let index = 0; index < columns; index++) damped[index * columns + index]! += lambda;
  const right = new Float64Array(columns * rows);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) right[column * rows + row] = cross[row * columns + column]!;
  const solved = await solveSymmetricPositive(damped, columns, right, rows, { signal });
  let gained = 0;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const at = row * columns + column;
      const change = solved[column * rows + row]!;
      delta[at] = change;
      // With ΔW (Z + λ) = C, 2 tr(ΔW Cᵀ) − tr(ΔW Z ΔWᵀ) is tr(ΔW Cᵀ) + λ ‖ΔW‖².
      gained += change * cross[at]! + lambda * change ** 2;
    }
  return { delta, gained };
};

/** Moments of a part of the data: Σ e zᵀ (rows, columns) and Σ z zᵀ (columns, columns). */
export interface RefitFold {
  readonly cross: Float64Array;
  readonly inputs: Float64Array;
}

/** Ridges that are tried, as shares of the mean diagonal. */
const triedRidges = [1e-3, 1e-2, 1e-1, 1] as const;

/** By how much a change (rows, columns) makes Σ ‖e‖² of some data smaller: 2 tr(ΔW Cᵀ) − tr(ΔW Z ΔWᵀ). */
export const gainOn = async (
  delta: Float64Array,
  { cross, inputs }: RefitFold,
  { rows, columns, signal }: Pick<RidgeInput, 'rows' | 'columns' | 'signal'>,
): Promise<number> => {
  const product = await matmul({ a: delta, rows, inner: columns, b: inputs, columns, signal });
  let gained = 0;
  for (let index = 0; index < delta.length; index++) gained += delta[index]! * (2 * cross[index]! - product[index]!);
  return gained;
};

/**
 * The ridge whose correction, fitted to one half of the data, removes most of the error of the other half, both ways;
 * undefined where no correction does any good there. Few positions for many inputs thus get a strong ridge or none.
 */
export const chooseRidge = async (
  folds: readonly [RefitFold, RefitFold],
  sizes: Pick<RidgeInput, 'rows' | 'columns' | 'signal'>,
): Promise<number | undefined> => {
  const [first, second] = folds;
  let best: { readonly ridge: number; readonly gained: number } | undefined;
  for (const ridge of triedRidges) {
    let gained = 0;
    for (const [fit, judge] of [
      [first, second],
      [second, first],
    ] as const) {
      const { delta } = await ridgeCorrection({ ...sizes, ...fit, ridge });
      gained += await gainOn(delta, judge, sizes);
    }
    if (gained > (best?.gained ?? 0)) best = { ridge, gained };
  }
  return best?.ridge;
};
