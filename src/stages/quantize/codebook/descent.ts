/** A row of weights as codes of a table, and the metric that its error is measured in. */
export interface RowProblem {
  /** (columns). */
  readonly weight: Float32Array;
  /** Second moments of the inputs, (columns, columns), positive definite. */
  readonly a: Float64Array;
  /** w A, (columns). */
  readonly product: Float64Array;
  /** Columns by falling diagonal of A. */
  readonly order: Uint32Array;
  /** U, upper triangular, with Uᵀ U = A⁻¹ for columns in that order: (columns, columns). */
  readonly feedback: Float64Array;
}

/**
 * Codes of the row for a table, column by column in order: each takes the nearest entry, and the columns to come are
 * moved so that they make up for its error (GPTQ, arXiv 2210.17323, section 3).
 */
export const codesWithFeedback = (
  { weight, order, feedback }: Pick<RowProblem, 'weight' | 'order' | 'feedback'>,
  table: Float64Array,
): Uint8Array => {
  const columns = weight.length;
  const codes = new Uint8Array(columns);
  const open = Float64Array.from(order, (j) => weight[j]!);
  for (let i = 0; i < columns; i++) {
    let best = 0;
    for (let entry = 1; entry < table.length; entry++)
      if (Math.abs(table[entry]! - open[i]!) < Math.abs(table[best]! - open[i]!)) best = entry;
    codes[order[i]!] = best;
    const error = (open[i]! - table[best]!) / feedback[i * columns + i]!;
    for (let k = i + 1; k < columns; k++) open[k]! -= error * feedback[i * columns + k]!;
  }
  return codes;
};

/** Solves M x = b for a small symmetric matrix by elimination with pivots; directions without content keep `fallback`. */
const solveSmall = (m: Float64Array, b: Float64Array, fallback: Float64Array): Float64Array => {
  const size = b.length;
  const rows = Array.from({ length: size }, (_, i) => [...m.subarray(i * size, (i + 1) * size), b[i]!]);
  const scale = Math.max(...rows.map((row, i) => row[i]!), 0);
  const x = Float64Array.from(fallback);
  const free: number[] = [];
  const pivots: number[] = [];
  for (let i = 0; i < size; i++) {
    if (!(rows[i]![i]! > 1e-10 * scale)) {
      free.push(i);
      continue;
    }
    pivots.push(i);
    for (let k = 0; k < size; k++) {
      if (k === i) continue;
      const factor = rows[k]![i]! / rows[i]![i]!;
      if (factor !== 0) for (let c = 0; c <= size; c++) rows[k]![c]! -= factor * rows[i]![c]!;
    }
  }
  for (const i of pivots) {
    const rest = free.reduce((sum, f) => sum + rows[i]![f]! * x[f]!, 0);
    x[i] = (rows[i]![size]! - rest) / rows[i]![i]!;
  }
  return x;
};

/**
 * Codes and table of a row q, brought down in (q − w) A (q − w)ᵀ by turns. A S, S the choices of entries (columns, entries),
 * is kept up to date, so that a change of a code costs its columns and a fit of the table next to nothing.
 */
export class RowDescent {
  readonly codes: Uint8Array;
  #table: Float64Array;
  readonly #problem: RowProblem;
  /** Σ over the columns of an entry of their rows of A: (entries, columns). */
  readonly #chosen: Float64Array;
  /** (q − w) A. */
  #residual: Float64Array;

  constructor(problem: RowProblem, table: Float64Array, codes: Uint8Array) {
    const columns = codes.length;
    this.#problem = problem;
    this.codes = codes.slice();
    this.#chosen = new Float64Array(table.length * columns);
    for (const [j, code] of codes.entries()) this.#move(j, code, 1);
    this.#table = table;
    this.#residual = this.#residualOf(table);
  }

  get table(): Float64Array {
    return this.#table;
  }

  /** What the row's output loses. */
  error(): number {
    const { weight } = this.#problem;
    return this.#residual.reduce((sum, value, j) => sum + value * (this.#table[this.codes[j]!]! - weight[j]!), 0);
  }

  /** Takes another table for the codes as they are. */
  use(table: Float64Array): void {
    this.#table = table;
    this.#residual = this.#residualOf(table);
  }

  /** Each column in order takes the entry with the least error of the row; none can raise it. */
  descend(): void {
    const { a, order } = this.#problem;
    const table = this.#table;
    const columns = this.codes.length;
    for (const j of order) {
      const present = this.codes[j]!;
      const wanted = table[present]! - this.#residual[j]! / a[j * (columns + 1)]!;
      let best = present;
      for (let entry = 0; entry < table.length; entry++)
        if (Math.abs(table[entry]! - wanted) < Math.abs(table[best]! - wanted)) best = entry;
      if (best === present) continue;
      const change = table[best]! - table[present]!;
      this.codes[j] = best;
      this.#move(j, present, -1);
      this.#move(j, best, 1);
      for (let k = 0; k < columns; k++) this.#residual[k]! += change * a[j * columns + k]!;
    }
  }

  /** The table with the least error for the codes as they are: (Sᵀ A S) t = Sᵀ A w. */
  refit(): void {
    const { product } = this.#problem;
    const columns = this.codes.length;
    const entries = this.#table.length;
    const m = new Float64Array(entries * entries);
    const b = new Float64Array(entries);
    for (const [j, code] of this.codes.entries()) {
      b[code]! += product[j]!;
      for (let entry = 0; entry < entries; entry++) m[entry * entries + code]! += this.#chosen[entry * columns + j]!;
    }
    this.use(solveSmall(m, b, this.#table));
  }

  #move(j: number, entry: number, sign: 1 | -1): void {
    const { a } = this.#problem;
    const columns = this.codes.length;
    for (let k = 0; k < columns; k++) this.#chosen[entry * columns + k]! += sign * a[j * columns + k]!;
  }

  #residualOf(table: Float64Array): Float64Array {
    const columns = this.codes.length;
    const residual = this.#problem.product.map((value) => -value);
    for (const [entry, value] of table.entries())
      for (let k = 0; k < columns; k++) residual[k]! += value * this.#chosen[entry * columns + k]!;
    return residual;
  }
}
