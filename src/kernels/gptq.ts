import { CompressError } from '../errors.ts';
import { addon } from './addon.ts';
import { expectInteger, expectLength } from './expect.ts';
import {
  type GridOptions,
  locateNonFinite,
  type RoundedWeight,
  toNativeGrid,
  toNativeMatrix,
  type WeightMatrix,
} from './grid.ts';
import { callNative, type JobOptions, runJob } from './job.ts';
import type { NativeFactoredInputs } from './native.ts';

export interface FactorInput extends JobOptions {
  /** H (columns, columns), symmetric: second moment of the inputs, at any scale. */
  readonly hessian: Float64Array;
  readonly columns: number;
  /** Round columns by falling diagonal of H rather than in natural order. */
  readonly actOrder: boolean;
  /** Part of the mean diagonal of H (columns that are not dead) added to its diagonal. Default 0.01. */
  readonly damp?: number | undefined;
  /** How often damping may grow tenfold when H cannot be factored. Default 0. */
  readonly maxDampRetries?: number | undefined;
  /**
   * E[(x_full - x) xᵀ] (columns, columns) at the scale of H, x_full the inputs as they were, and how much of it counts:
   * present weights then also make good what inputs have lost (GPTAQ, arXiv 2504.02692).
   */
  readonly pairs?: { readonly moment: Float64Array; readonly share: number } | undefined;
  /** Factor and solve in double precision rather than single. About half as fast. Default false. */
  readonly exact?: boolean | undefined;
}

/** What solving needs of the inputs of a weight: made once for all weights that see them. */
export class InputFactor {
  readonly columns: number;
  readonly dampUsed: number;
  readonly dampRetries: number;
  /** Columns whose input is always zero: their weights are rounded to nearest, for other data may bring them to life. */
  readonly deadColumns: number;
  readonly #native: NativeFactoredInputs;

  private constructor(
    native: NativeFactoredInputs,
    columns: number,
    facts: { damp: number; retries: number; deadColumns: number },
  ) {
    this.#native = native;
    this.columns = columns;
    this.dampUsed = facts.damp;
    this.dampRetries = facts.retries;
    this.deadColumns = facts.deadColumns;
  }

  /**
   * Factors the damped H. Arrays must not change until the promise settles.
   * @throws 'numeric' when H is not finite, or not positive definite with the last damping tried.
   */
  static async make(input: FactorInput): Promise<InputFactor> {
    const { hessian, columns, actOrder, damp = 0.01, maxDampRetries = 0, pairs, exact = false } = input;
    expectInteger('the number of columns', columns, 1, 2 ** 32 - 1);
    expectLength('the Hessian', hessian, columns * columns);
    if (pairs) expectLength('the moment of pairs', pairs.moment, columns * columns);
    expectInteger('the number of retries', maxDampRetries, 0, 100);
    if (!(damp >= 0 && damp < Number.POSITIVE_INFINITY))
      throw new CompressError({ code: 'usage', message: `a damping of ${damp} makes no sense`, hint: 'Use 0.01.' });
    const native = new (addon().FactoredInputs)(columns, exact);
    const options = { byActivation: actOrder, damp, retries: maxDampRetries, exact, share: pairs?.share ?? 0 };
    const facts = await runJob(input, (control) =>
      native.factor(hessian, columns, pairs?.moment ?? null, options, control),
    );
    return new InputFactor(native, columns, facts);
  }

  /**
   * X = R (H + damping)⁻¹ (rows, columns) of R (rows, columns); what it gives for dead columns means nothing. R must not
   * change until the promise settles. @throws 'numeric' when the solution is not finite.
   */
  solve(right: Float64Array, rows: number, options: JobOptions = {}): Promise<Float32Array<ArrayBuffer>> {
    expectLength('the right side', right, rows * this.columns);
    return runJob(options, (control) => addon().solveFactored(this.#native, right, rows, control));
  }

  /** Frees the factor now rather than when this object is collected; work under way is finished first. */
  release(): void {
    callNative(() => this.#native.release());
  }

  /** The native object, for the solver. */
  get native(): NativeFactoredInputs {
    return this.#native;
  }
}

interface SolveInput extends WeightMatrix, GridOptions, JobOptions {
  /**
   * Grids to round on, (rows, groups) each; zero points null where every zero is 2^(bits-1). By default they are chosen
   * from the weight. For targets that are not the weight itself (Qronos).
   */
  readonly grids?: { readonly scales: Float32Array; readonly zeroPoints: Uint8Array | null } | undefined;
  /** Columns after which the rest of the weight is updated by one product. Default 128. */
  readonly blockSize?: number | undefined;
  /** Part of a weight's drift from its original value that is taken back at every step (FOEM). Default 0. */
  readonly drift?: number | undefined;
}

/** A weight and its inputs: factored already, where several weights see them, or their second moment. */
export type GptqInput = SolveInput & ({ readonly factor: InputFactor } | Omit<FactorInput, 'columns' | 'onProgress'>);

export interface GptqResult extends RoundedWeight, Pick<InputFactor, 'dampUsed' | 'dampRetries' | 'deadColumns'> {
  /** E_r (H + damping) E_rᵀ for the error E of each row r, (rows); without pairs and drift. */
  readonly losses: Float64Array;
}

/**
 * GPTQ (Frantar et al. 2022, arXiv 2210.17323, algorithm 1) on grids fixed from the original weights: codes come back
 * in natural order of columns whatever the order of rounding. Arrays must not change until the promise settles.
 * @throws 'numeric' when a weight is not finite, or as `InputFactor.make`.
 */
export const gptq = async (input: GptqInput): Promise<GptqResult> => {
  const { columns, signal, blockSize = 128, drift = 0 } = input;
  const matrix = toNativeMatrix(input);
  const grid = toNativeGrid(input, columns);
  const factor =
    'factor' in input ? input.factor : await InputFactor.make({ ...input, columns, signal, onProgress: undefined });
  expectInteger('the columns of the factor', factor.columns, columns, columns);
  expectInteger('the block size', blockSize, 1, 2 ** 32 - 1);
  if (!(drift >= 0 && drift < 1))
    throw new CompressError({ code: 'usage', message: `a drift of ${drift} makes no sense`, hint: 'Use 0 to 1.' });
  try {
    const { scales = null, zeroPoints = null } = input.grids ?? {};
    const found = await runJob(input, (control) =>
      addon().gptqSolve(matrix, factor.native, grid, { blockSize, drift }, scales, zeroPoints, control),
    );
    const { codes, losses } = found;
    const { dampUsed, dampRetries, deadColumns } = factor;
    return {
      codes,
      scales: found.scales,
      zeroPoints: found.zeroPoints ?? null,
      losses,
      dampUsed,
      dampRetries,
      deadColumns,
    };
  } catch (error) {
    throw locateNonFinite(error, input);
  }
};
