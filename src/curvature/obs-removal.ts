import { internalError } from '../errors.ts';
import { choleskyInverse, matmul } from '../kernels/index.ts';

/**
 * Removal of inputs in the curvature metric: the optimal brain surgeon (Hassibi & Stork 1993) for groups of columns, on
 * the Kronecker factors of LLM Surgeon (van der Ouderaa et al. 2024, section 3). With P = (A + λ)⁻¹ and S = Wᵀ B' W,
 * removing the columns g and letting the others make up for them costs tr(P_gg⁻¹ S_gg); afterwards
 * W += -W_g P_gg⁻¹ P_g, and P and S lose what g explained.
 */

/** A product y = W x some of whose inputs can be removed. */
export interface RemovalConsumer {
  /** W (rows, columns). */
  readonly weight: ArrayLike<number>;
  readonly rows: number;
  readonly columns: number;
  /** A = E[x xᵀ] (columns, columns). */
  readonly inputMoment: Float64Array;
  /** B = E[g gᵀ] (rows, rows), or its diagonal (rows); without it every output counts alike, by `scale`. */
  readonly outputMoment: Float64Array | undefined;
  /** Nats per unit of tr(B ΔW A ΔWᵀ): half the positions an item has. */
  readonly scale: number;
  /** Columns of each unit, in the same order of units for every consumer; empty where it reads nothing of a unit. */
  readonly units: readonly (readonly number[])[];
}

export interface RemovalOptions {
  /** λ as a share of the mean diagonal of A; default 0.01. */
  readonly damp?: number | undefined;
  /** Share of the mean diagonal of B added to it (curvature.md, "Rounding"); default 0.1. */
  readonly outputDamp?: number | undefined;
  /** What removing each unit saves; with it, units go by rising cost for what they save. Default: all alike. */
  readonly savings?: ArrayLike<number> | undefined;
  /** Units that stay whatever they cost. */
  readonly keep?: ReadonlySet<number> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The order in which units go, the cheapest first. */
export interface RemovalOrder {
  readonly order: readonly number[];
  /** Predicted loss in nats per item once the first k units of the order are gone: (order.length + 1). */
  readonly losses: Float64Array;
}

/** A + λ I, λ a share of the mean diagonal; (n, n). Dead inputs get the mean diagonal too, so that it is invertible. */
export const damped = (moment: Float64Array, n: number, share: number): Float64Array => {
  const result = Float64Array.from(moment);
  let trace = 0;
  for (let index = 0; index < n; index++) trace += moment[index * n + index]!;
  const extra = trace > 0 ? (share * trace) / n : 1;
  for (let index = 0; index < n; index++) result[index * n + index]! += extra;
  return result;
};

const defaultDamp = 0.01;
const defaultOutputDamp = 0.1;

/** P and S of a consumer, downdated as units go. */
class ConsumerState {
  readonly #n: number;
  readonly #inverse: Float64Array;
  readonly #sensitivity: Float64Array;
  readonly #scale: number;
  readonly #units: readonly (readonly number[])[];
  #alive: Int32Array;

  constructor(consumer: RemovalConsumer, inverse: Float64Array, sensitivity: Float64Array) {
    this.#n = consumer.columns;
    this.#inverse = inverse;
    this.#sensitivity = sensitivity;
    this.#scale = consumer.scale;
    this.#units = consumer.units;
    this.#alive = Int32Array.from({ length: consumer.columns }, (_, index) => index);
  }

  /** tr(P_gg⁻¹ S_gg) in nats. */
  costOf(unit: number): number {
    const columns = this.#units[unit]!;
    const n = this.#n;
    const [first, second] = columns;
    if (first === undefined) return 0;
    if (second === undefined)
      return (this.#scale * this.#sensitivity[first * n + first]!) / this.#inverse[first * n + first]!;
    const inner = inverseOfBlock(this.#inverse, n, columns);
    const m = columns.length;
    let trace = 0;
    for (let a = 0; a < m; a++)
      for (let b = 0; b < m; b++) trace += inner[a * m + b]! * this.#sensitivity[columns[b]! * n + columns[a]!]!;
    return this.#scale * trace;
  }

  remove(unit: number): void {
    const columns = this.#units[unit]!;
    const m = columns.length;
    if (m === 0) return;
    const n = this.#n;
    const alive = this.#alive;
    const inner = inverseOfBlock(this.#inverse, n, columns);
    const explained = new Float64Array(m * n);
    for (let a = 0; a < m; a++)
      for (const column of alive) {
        let sum = 0;
        for (let b = 0; b < m; b++) sum += inner[a * m + b]! * this.#inverse[columns[b]! * n + column]!;
        explained[a * n + column] = sum;
      }
    subtractOuter(this.#inverse, rowsOf(this.#inverse, n, columns), explained, n, alive);
    subtractOuter(this.#sensitivity, rowsOf(this.#sensitivity, n, columns), explained, n, alive);
    // S T is no longer symmetric: the rows g of it are what the second factor takes away.
    const half = rowsOf(this.#sensitivity, n, columns);
    subtractOuter(this.#sensitivity, explained, half, n, alive);
    const gone = new Set(columns);
    this.#alive = alive.filter((column) => !gone.has(column));
  }
}

/** Rows `columns` of a matrix (n, n) as (m, n). */
const rowsOf = (matrix: Float64Array, n: number, columns: readonly number[]): Float64Array => {
  const rows = new Float64Array(columns.length * n);
  columns.forEach((row, index) => {
    rows.set(matrix.subarray(row * n, (row + 1) * n), index * n);
  });
  return rows;
};

/** matrix −= Lᵀ R over the columns that are alive, for L and R (m, n). */
const subtractOuter = (
  matrix: Float64Array,
  left: Float64Array,
  right: Float64Array,
  n: number,
  alive: Int32Array,
): void => {
  const m = left.length / n;
  for (const row of alive) {
    const begin = row * n;
    for (let k = 0; k < m; k++) {
      const factor = left[k * n + row]!;
      if (factor === 0) continue;
      const from = k * n;
      for (const column of alive) matrix[begin + column]! -= factor * right[from + column]!;
    }
  }
};

/** (P_gg)⁻¹ of a small symmetric positive definite block, by Gauss-Jordan elimination. */
const inverseOfBlock = (matrix: Float64Array, n: number, columns: readonly number[]): Float64Array => {
  const m = columns.length;
  const block = new Float64Array(m * m);
  const inverse = new Float64Array(m * m);
  for (let a = 0; a < m; a++) {
    inverse[a * m + a] = 1;
    for (let b = 0; b < m; b++) block[a * m + b] = matrix[columns[a]! * n + columns[b]!]!;
  }
  for (let pivot = 0; pivot < m; pivot++) {
    const value = block[pivot * m + pivot]!;
    for (let column = 0; column < m; column++) {
      block[pivot * m + column]! /= value;
      inverse[pivot * m + column]! /= value;
    }
    for (let row = 0; row < m; row++) {
      if (row === pivot) continue;
      const factor = block[row * m + pivot]!;
      if (factor === 0) continue;
      for (let column = 0; column < m; column++) {
        block[row * m + column]! -= factor * block[pivot * m + column]!;
        inverse[row * m + column]! -= factor * inverse[pivot * m + column]!;
      }
    }
  }
  return inverse;
};

/** B' W (rows, columns). */
const weighted = async (
  w: Float64Array,
  b: Float64Array,
  { rows, columns }: RemovalConsumer,
  { outputDamp = defaultOutputDamp, signal }: RemovalOptions,
): Promise<Float64Array> => {
  if (b.length === rows * rows && rows > 1)
    return matmul({ a: damped(b, rows, outputDamp), rows, inner: rows, b: w, columns, signal });
  const extra = (outputDamp * b.reduce((sum, value) => sum + value, 0)) / rows;
  return w.map((value, index) => value * (b[Math.floor(index / columns)]! + extra));
};

const stateOf = async (consumer: RemovalConsumer, options: RemovalOptions): Promise<ConsumerState> => {
  const { rows, columns, weight, inputMoment, outputMoment } = consumer;
  const { signal } = options;
  const inverse = await choleskyInverse(damped(inputMoment, columns, options.damp ?? defaultDamp), columns, { signal });
  const w = Float64Array.from(weight);
  if (w.length !== rows * columns) throw internalError(`${w.length} weights given for ${rows} × ${columns}`);
  const bw = outputMoment ? await weighted(w, outputMoment, consumer, options) : w;
  const sensitivity = await matmul({
    a: w,
    rows: columns,
    inner: rows,
    b: bw,
    columns,
    transposeA: true,
    signal,
  });
  return new ConsumerState(consumer, inverse, sensitivity);
};

/**
 * Removes units one after the other, each time the one that costs least (for what it saves), and says what has been
 * lost by then. A unit that several products read costs what all of them lose.
 * @throws 'numeric' where A is not finite.
 */
export const removalOrder = async (
  consumers: readonly RemovalConsumer[],
  options: RemovalOptions = {},
): Promise<RemovalOrder> => {
  const count = consumers[0]?.units.length ?? 0;
  if (consumers.some(({ units }) => units.length !== count))
    throw internalError('consumers of the same units name different numbers of them');
  const states: ConsumerState[] = [];
  for (const consumer of consumers) states.push(await stateOf(consumer, options));
  const { savings, keep, signal } = options;
  const left = new Set(Array.from({ length: count }, (_, unit) => unit).filter((unit) => !keep?.has(unit)));
  const order: number[] = [];
  const losses = [0];
  while (left.size > 0) {
    signal?.throwIfAborted();
    let best = -1;
    let bestRate = Number.POSITIVE_INFINITY;
    let bestCost = 0;
    for (const unit of left) {
      let cost = 0;
      for (const state of states) cost += state.costOf(unit);
      const rate = cost / (savings?.[unit] ?? 1);
      if (rate < bestRate || best < 0) {
        best = unit;
        bestRate = rate;
        bestCost = cost;
      }
    }
    for (const state of states) state.remove(best);
    left.delete(best);
    order.push(best);
    losses.push(losses.at(-1)! + Math.max(0, bestCost));
  }
  return { order, losses: Float64Array.from(losses) };
};

/** What remains of a consumer once columns are gone. */
export interface RidgeInput {
  /** W (rows, columns). */
  readonly weight: ArrayLike<number>;
  readonly rows: number;
  readonly columns: number;
  /** A (columns, columns). */
  readonly inputMoment: Float64Array;
  /** Columns that stay, ascending. */
  readonly kept: readonly number[];
  /** λ as a share of the mean diagonal of A; default 0.01. */
  readonly damp?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The weight (rows, kept) that makes up best for the removed columns: W_S + W_R A_RS (A_SS + λ)⁻¹, which is what
 * removing them one after the other ends with.
 */
export const ridgeSolution = async (input: RidgeInput): Promise<Float64Array<ArrayBuffer>> => {
  const { rows, columns, kept, signal } = input;
  const w = Float64Array.from(input.weight);
  const k = kept.length;
  const result = new Float64Array(rows * k);
  for (let row = 0; row < rows; row++)
    kept.forEach((column, at) => {
      result[row * k + at] = w[row * columns + column]!;
    });
  const stays = new Set(kept);
  const removed = Array.from({ length: columns }, (_, column) => column).filter((column) => !stays.has(column));
  if (k === 0 || removed.length === 0) return result;
  const a = damped(input.inputMoment, columns, input.damp ?? defaultDamp);
  const within = submatrix(a, columns, kept, kept);
  const across = submatrix(a, columns, removed, kept);
  const inverse = await choleskyInverse(within, k, { signal });
  const lost = new Float64Array(rows * removed.length);
  for (let row = 0; row < rows; row++)
    removed.forEach((column, at) => {
      lost[row * removed.length + at] = w[row * columns + column]!;
    });
  const explained = await matmul({ a: lost, rows, inner: removed.length, b: across, columns: k, signal });
  const repair = await matmul({ a: explained, rows, inner: k, b: inverse, columns: k, signal });
  for (let index = 0; index < result.length; index++) result[index]! += repair[index]!;
  return result;
};

/** Elements of a matrix (…, n) at the given rows and columns. */
const submatrix = (
  matrix: Float64Array,
  n: number,
  rows: readonly number[],
  columns: readonly number[],
): Float64Array => {
  const part = new Float64Array(rows.length * columns.length);
  rows.forEach((row, i) => {
    columns.forEach((column, j) => {
      part[i * columns.length + j] = matrix[row * n + column]!;
    });
  });
  return part;
};
