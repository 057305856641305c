/** A row of weights as codes of a table, and the metric that its error is measured in. */
export interface RowProblem {
  /** (columns). */
  readonly weight: Float32Array;
  /** Second moments of the inputs, (columns, columns), positive definite. */
  readonly a: Float64Array;
  /** Columns by falling diagonal of A. */
  readonly order: Uint32Array;
  /** U, upper triangular, with Uᵀ U = A⁻¹ for columns in that order: (columns, columns). */
  readonly feedback: Float64Array;
}

type Metric = Pick<RowProblem, 'weight' | 'a'>;

export interface RowCodes {
  readonly table: Float64Array;
  readonly codes: Uint8Array;
}

/** q − w of the row, times A: half the gradient of its error. */
const residual = ({ weight, a }: Metric, { table, codes }: RowCodes): Float64Array => {
  const columns = weight.length;
  const g = new Float64Array(columns);
  for (let j = 0; j < columns; j++) {
    const e = table[codes[j]!]! - weight[j]!;
    if (e !== 0) for (let k = 0; k < columns; k++) g[k]! += e * a[j * columns + k]!;
  }
  return g;
};

/** (q − w) A (q − w)ᵀ: what the row's output loses. */
export const rowError = (problem: Metric, row: RowCodes): number => {
  const g = residual(problem, row);
  return g.reduce((sum, value, j) => sum + value * (row.table[row.codes[j]!]! - problem.weight[j]!), 0);
};

/**
 * Codes of the row for a table, column by column in order: each takes the nearest entry, and the columns to come are
 * moved so that they make up for its error (GPTQ, arXiv 2210.17323, section 3).
 */
export const codesWithFeedback = ({ weight, order, feedback }: RowProblem, table: Float64Array): Uint8Array => {
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

/** One pass of coordinate descent over the codes, in place: each column takes the entry with the least error of the row. */
export const descendCodes = (problem: RowProblem, { table, codes }: RowCodes): void => {
  const { weight, a, order } = problem;
  const columns = weight.length;
  const g = residual(problem, { table, codes });
  for (const j of order) {
    const ajj = a[j * columns + j]!;
    const present = table[codes[j]!]!;
    const wanted = present - g[j]! / ajj;
    let best = codes[j]!;
    for (let entry = 0; entry < table.length; entry++)
      if (Math.abs(table[entry]! - wanted) < Math.abs(table[best]! - wanted)) best = entry;
    if (best === codes[j]) continue;
    const change = table[best]! - present;
    codes[j] = best;
    for (let k = 0; k < columns; k++) g[k]! += change * a[j * columns + k]!;
  }
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

/** The table with the least error for the codes as they are: (Sᵀ A S) t = Sᵀ A w, S the columns' choices of entries. */
export const refitTable = ({ weight, a }: RowProblem, { table, codes }: RowCodes): Float64Array => {
  const columns = weight.length;
  const entries = table.length;
  const m = new Float64Array(entries * entries);
  const b = new Float64Array(entries);
  for (let j = 0; j < columns; j++) {
    const row = codes[j]! * entries;
    for (let k = 0; k < columns; k++) {
      const value = a[j * columns + k]!;
      m[row + codes[k]!]! += value;
      b[codes[j]!]! += value * weight[k]!;
    }
  }
  return solveSmall(m, b, table);
};
