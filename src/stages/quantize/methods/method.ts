import type { Floats } from '../../../kernels/index.ts';
import type { WeightScheme } from '../weights/scheme.ts';

/** Settings that only some methods look at. */
export interface RoundingSettings {
  /** Share of the mean diagonal of H added to its diagonal. */
  readonly damp: number;
  /** Round columns by falling diagonal of H instead of from left to right. */
  readonly actOrder: boolean;
  /** Part of a group's weights that may be cut off before rounding (methods/magr.ts), 0 for none. */
  readonly magr: number;
}

/** The same before a method is known, whose own damping holds where none is named. */
export interface RequestedSettings extends Omit<RoundingSettings, 'damp'> {
  readonly damp: number | undefined;
}

/** One matrix to round, and what is known about its inputs. Nothing here knows a graph. */
export interface RoundingProblem {
  /** W (rows, columns), finite. Not to be changed. */
  readonly weight: Float32Array;
  readonly rows: number;
  readonly columns: number;
  readonly scheme: WeightScheme;
  /** Columns that share a scale, 1 … columns. */
  readonly groupSize: number;
  /** H = E[x xᵀ] (columns, columns), symmetric; only undefined for methods that need nothing. */
  readonly gram: Float64Array | undefined;
  /**
   * G = E[x_full xᵀ] (columns, columns), x_full the inputs in the unquantized model; for methods that need pairs. For
   * others it may be missing where T was collected without it.
   */
  readonly cross?: Float64Array | undefined;
  /** T = W G (rows, columns), what the exact weight would give against the present inputs; W H where it is not known. */
  readonly target?: Float64Array | undefined;
  /** What `RoundingMethod.goal` gave, where it was asked before. */
  readonly goal?: Float32Array | undefined;
  /** B = E[g gᵀ] (rows, rows) of the gradients at the outputs; for methods that need the curvature, where it is known. */
  readonly outputMoment?: Floats | undefined;
  /** Type that scales will be stored in. */
  readonly scaleType: 'float32' | 'float16';
  readonly settings: RoundingSettings;
  readonly signal: AbortSignal;
}

/** What a method found. `weight ≈ (codes - zeroPoints) * scales` with one scale per row and group. */
export interface Rounded {
  /** (rows, columns), one code a byte. */
  readonly codes: Uint8Array;
  /** (rows, groups). */
  readonly scales: Float32Array;
  /** (rows, groups); null where every zero is 2^(bits-1). */
  readonly zeroPoints: Uint8Array | null;
  /** E_r (H + damping) E_rᵀ of the error E of each row towards what was aimed at, where the method knows it. */
  readonly losses?: Float64Array;
  /** Numbers for the report (damping used, dead columns, …). */
  readonly facts: Readonly<Record<string, number>>;
  /** What had to be done instead of what was asked, in words; reported as a fallback. */
  readonly fallback?: string;
}

/** A way of choosing integers: the mathematics of one paper, matrices in, integers out. */
export interface RoundingMethod {
  readonly name: string;
  readonly summary: string;
  /** What must be known: nothing, H, H and G, H and T, or H, T and B. */
  readonly needs: 'nothing' | 'gram' | 'pairs' | 'target' | 'curvature';
  /** `settings.damp` where the user names none. */
  readonly damp: number;
  /**
   * @throws CompressError 'numeric' when H cannot be factored, 'interrupted' when the signal fires.
   */
  round(problem: RoundingProblem): Promise<Rounded>;
  /** What the integers are meant to come near to, (rows, columns), where that is not the weight itself. */
  goal?(problem: RoundingProblem): Promise<Float32Array>;
  /** Improves what `round` found, once ranges are chosen. */
  refine?(problem: RoundingProblem, start: Rounded): Promise<Rounded>;
}
