import { checkSignal } from '../../../execution/interrupt.ts';
import { decodeElements, encodeElements } from '../../../ir/elements.ts';
import { cholesky, choleskyInverse, matmul } from '../../../kernels/index.ts';
import { codesWithFeedback, RowDescent, type RowProblem } from './descent.ts';
import { nearestCodes, optimalTable } from './kmeans.ts';

export interface CodebookProblem {
  /** (rows, columns). */
  readonly weight: Float32Array;
  readonly rows: number;
  readonly columns: number;
  readonly bits: 2 | 3 | 4;
  /** Mean of x xᵀ over calibration, (columns, columns); undefined without data: every column counts the same. */
  readonly inputMoment: Float64Array | undefined;
  readonly signal: AbortSignal;
}

export interface CodebookRounding {
  /** (rows, 2^bits), numbers that half precision has. */
  readonly tables: Float32Array;
  /** (rows, columns). */
  readonly codes: Uint8Array;
  /** Σ (q − w) A (q − w)ᵀ over Σ w A wᵀ; of the weights where A is not known. */
  readonly relativeError: number;
}

/** Passes of descent and refit: later ones change next to nothing. */
const passes = 4;

/** Share of the mean diagonal that is added to A's, as GPTQ does. */
const damping = 0.01;

const halfPrecision = (numbers: Float64Array): Float64Array =>
  Float64Array.from(decodeElements('float16', encodeElements('float16', numbers), numbers.length));

const damped = (moment: Float64Array, columns: number): Float64Array => {
  const a = moment.slice();
  let trace = 0;
  for (let j = 0; j < columns; j++) trace += a[j * (columns + 1)]!;
  const more = trace > 0 ? (damping * trace) / columns : 1;
  for (let j = 0; j < columns; j++) a[j * (columns + 1)]! += more;
  return a;
};

/** The metric of a matrix' rows, with what feeds errors forward. */
const metricOf = async (
  moment: Float64Array,
  columns: number,
  signal: AbortSignal,
): Promise<Omit<RowProblem, 'weight' | 'product'>> => {
  const a = damped(moment, columns);
  const order = Uint32Array.from({ length: columns }, (_, j) => j).sort(
    (i, j) => a[j * (columns + 1)]! - a[i * (columns + 1)]! || i - j,
  );
  const ordered = new Float64Array(columns * columns);
  for (let i = 0; i < columns; i++)
    for (let k = 0; k < columns; k++) ordered[i * columns + k] = a[order[i]! * columns + order[k]!]!;
  const lower = await cholesky(await choleskyInverse(ordered, columns, { signal }), columns, { signal });
  const feedback = new Float64Array(columns * columns);
  for (let i = 0; i < columns; i++)
    for (let k = i; k < columns; k++) feedback[i * columns + k] = lower[k * columns + i]!;
  return { a, order, feedback };
};

/**
 * The row in its metric: the table that is best by the diagonal, codes that make up for each other's errors, then codes
 * and table in turn by all of A.
 */
const roundRow = (problem: RowProblem, diagonal: Float64Array, entries: number): RowDescent => {
  const { table } = optimalTable(problem.weight, diagonal, entries);
  const row = new RowDescent(problem, table, codesWithFeedback(problem, table));
  for (let pass = 0; pass < passes; pass++) {
    row.descend();
    row.refit();
  }
  row.use(halfPrecision(row.table));
  row.descend();
  return row;
};

/**
 * Rounds each row of a matrix to a table of its own. With second moments of the inputs the output's error is brought
 * down by descent over codes and refits of tables, none of which can raise it; without them tables are the best ones
 * for the weights themselves.
 */
export const roundToRowTables = async ({
  weight,
  rows,
  columns,
  bits,
  inputMoment,
  signal,
}: CodebookProblem): Promise<CodebookRounding> => {
  const entries = 2 ** bits;
  const tables = new Float32Array(rows * entries);
  const codes = new Uint8Array(rows * columns);
  const metric = inputMoment && (await metricOf(inputMoment, columns, signal));
  const products =
    metric && (await matmul({ a: new Float64Array(weight), b: metric.a, rows, inner: columns, columns, signal }));
  const diagonal = Float64Array.from({ length: columns }, (_, j) => (metric ? metric.a[j * (columns + 1)]! : 1));
  let [error, energy] = [0, 0];
  for (let row = 0; row < rows; row++) {
    checkSignal(signal);
    const own = weight.subarray(row * columns, (row + 1) * columns);
    let found: Pick<RowDescent, 'table' | 'codes'>;
    if (metric && products) {
      const problem = { ...metric, weight: own, product: products.subarray(row * columns, (row + 1) * columns) };
      const rounded = roundRow(problem, diagonal, entries);
      found = rounded;
      error += rounded.error();
      energy += own.reduce((sum, value, j) => sum + value * problem.product[j]!, 0);
    } else {
      const table = halfPrecision(optimalTable(own, diagonal, entries).table);
      found = { table, codes: nearestCodes(own, table) };
      for (const [column, value] of own.entries()) {
        error += (found.table[found.codes[column]!]! - value) ** 2;
        energy += value ** 2;
      }
    }
    tables.set(found.table, row * entries);
    codes.set(found.codes, row * columns);
  }
  return { tables, codes, relativeError: energy > 0 ? error / energy : 0 };
};
