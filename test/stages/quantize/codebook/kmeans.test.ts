import { expect, test } from 'vitest';
import { Random } from '../../../../src/random.ts';
import { RowDescent, type RowProblem } from '../../../../src/stages/quantize/codebook/descent.ts';
import { nearestCodes, optimalTable } from '../../../../src/stages/quantize/codebook/kmeans.ts';
import { roundToRowTables } from '../../../../src/stages/quantize/codebook/round-rows.ts';

const drawn = (count: number, seed: number): { values: Float32Array; weights: Float64Array } => {
  const random = new Random(seed, 'clusters');
  return { values: random.normals(count), weights: Float64Array.from(random.normals(count), (value) => value ** 2) };
};

const errorOf = (values: Float32Array, weights: Float64Array, table: Float64Array): number =>
  nearestCodes(values, table).reduce(
    (sum, code, index) => sum + weights[index]! * (values[index]! - table[code]!) ** 2,
    0,
  );

/** The least error of all ways to cut the sorted values into runs. */
const bruteForce = (values: Float32Array, weights: Float64Array, entries: number): number => {
  const order = [...values.keys()].sort((a, b) => values[a]! - values[b]!);
  const runError = (run: readonly number[]): number => {
    const weight = run.reduce((sum, index) => sum + weights[index]!, 0);
    const mean = run.reduce((sum, index) => sum + weights[index]! * values[index]!, 0) / weight;
    return run.reduce((sum, index) => sum + weights[index]! * (values[index]! - mean) ** 2, 0);
  };
  const best = (rest: readonly number[], left: number): number =>
    left === 1 || rest.length <= 1
      ? rest.length === 0
        ? 0
        : runError(rest)
      : Math.min(...rest.map((_, end) => runError(rest.slice(0, end + 1)) + best(rest.slice(end + 1), left - 1)));
  return best(order, entries);
};

test.each([1, 2, 3])('the table is the best of all ways to cut the sorted values (seed %d)', (seed) => {
  const { values, weights } = drawn(9, seed);
  for (const entries of [2, 3, 4]) {
    const { table, error } = optimalTable(values, weights, entries);
    expect(error).toBeCloseTo(bruteForce(values, weights, entries), 6);
    expect(errorOf(values, weights, table)).toBeCloseTo(error, 6);
    expect([...table]).toEqual([...table].sort((a, b) => a - b));
  }
});

test('a step of Lloyd’s iteration never raises the weighted error, and finds nothing better than the table', () => {
  const { values, weights } = drawn(200, 5);
  const best = optimalTable(values, weights, 8).error;
  let table = Float64Array.from({ length: 8 }, (_, entry) => (entry - 3.5) / 2);
  let before = errorOf(values, weights, table);
  for (let step = 0; step < 12; step++) {
    const codes = nearestCodes(values, table);
    table = table.map((entry, at) => {
      const own = [...codes.keys()].filter((index) => codes[index] === at);
      const weight = own.reduce((sum, index) => sum + weights[index]!, 0);
      return weight > 0 ? own.reduce((sum, index) => sum + weights[index]! * values[index]!, 0) / weight : entry;
    });
    const after = errorOf(values, weights, table);
    expect(after).toBeLessThanOrEqual(before * (1 + 1e-12));
    expect(after).toBeGreaterThanOrEqual(best * (1 - 1e-9));
    before = after;
  }
});

test('few distinct values are kept exactly, and values without weight do not count', () => {
  const { table, error } = optimalTable(Float32Array.of(1, 2, 1, 2), Float64Array.of(1, 1, 1, 1), 4);
  expect(error).toBe(0);
  expect(new Set(table)).toEqual(new Set([1, 2]));
  const weighted = optimalTable(Float32Array.of(0, 10, 99), Float64Array.of(1, 1, 0), 2);
  expect([...weighted.table]).toEqual([0, 10]);
  expect([...weighted.codes]).toEqual([0, 1, 1]);
  expect(optimalTable(Float32Array.of(3, 5), Float64Array.of(0, 0), 2).error).toBe(0);
});

const secondMoment = (columns: number, seed: number): Float64Array => {
  const random = new Random(seed, 'row');
  const a = new Float64Array(columns * columns);
  for (let sample = 0; sample < 3 * columns; sample++) {
    const common = random.normal();
    const x = random.normals(columns).map((value) => value + common);
    for (let j = 0; j < columns; j++) for (let k = 0; k < columns; k++) a[j * columns + k]! += x[j]! * x[k]!;
  }
  return a;
};

/** (q − w) A (q − w)ᵀ. */
const rowError = (
  a: Float64Array,
  weight: Float32Array,
  { table, codes }: { table: ArrayLike<number>; codes: Uint8Array },
): number => {
  const columns = weight.length;
  const e = Float64Array.from(weight, (value, j) => table[codes[j]!]! - value);
  return e.reduce(
    (sum, one, j) => sum + e.reduce((inner, other, k) => inner + one * other * a[j * columns + k]!, 0),
    0,
  );
};

const rowProblem = (columns: number, seed: number): RowProblem => {
  const a = secondMoment(columns, seed);
  const weight = new Random(seed, 'weight').normals(columns);
  const product = Float64Array.from({ length: columns }, (_, k) =>
    weight.reduce((sum, value, j) => sum + value * a[j * columns + k]!, 0),
  );
  return {
    weight,
    a,
    product,
    order: Uint32Array.from({ length: columns }, (_, index) => index),
    feedback: new Float64Array(),
  };
};

test('neither a pass over the codes nor a fit of the table raises the error of the output', () => {
  const problem = rowProblem(24, 1);
  const start = optimalTable(problem.weight, new Float64Array(24).fill(1), 4);
  const row = new RowDescent(problem, start.table, start.codes);
  const first = row.error();
  expect(first).toBeCloseTo(rowError(problem.a, problem.weight, start), 6);
  let before = first;
  for (let pass = 0; pass < 4; pass++) {
    row.descend();
    const descended = row.error();
    expect(descended).toBeLessThanOrEqual(before * (1 + 1e-9));
    row.refit();
    const refitted = row.error();
    expect(refitted).toBeLessThanOrEqual(descended * (1 + 1e-9));
    expect(refitted).toBeCloseTo(rowError(problem.a, problem.weight, row), 6);
    before = refitted;
  }
  expect(before).toBeLessThan(first);
});

test('no small change of a fitted table lowers the error', () => {
  const problem = rowProblem(24, 4);
  const start = optimalTable(problem.weight, new Float64Array(24).fill(1), 4);
  const row = new RowDescent(problem, start.table, start.codes);
  row.refit();
  const least = row.error();
  for (let entry = 0; entry < 4; entry++)
    for (const change of [-0.01, 0.01]) {
      const table = row.table.map((value, at) => (at === entry ? value + change : value));
      expect(rowError(problem.a, problem.weight, { table, codes: row.codes })).toBeGreaterThanOrEqual(least);
    }
});

test('tables are numbers of half precision, and what is known of the inputs takes much of the error away', async () => {
  const a = secondMoment(32, 2);
  const weight = new Random(3, 'matrix').normals(8 * 32);
  const common = { weight, rows: 8, columns: 32, bits: 2 as const, signal: new AbortController().signal };
  const aware = await roundToRowTables({ ...common, inputMoment: a });
  const blind = await roundToRowTables({ ...common, inputMoment: undefined });
  const outputError = ({ tables, codes }: { tables: Float32Array; codes: Uint8Array }): number =>
    Array.from({ length: 8 }, (_, row) =>
      rowError(a, weight.subarray(row * 32, (row + 1) * 32), {
        table: tables.subarray(row * 4, row * 4 + 4),
        codes: codes.subarray(row * 32, (row + 1) * 32),
      }),
    ).reduce((sum, error) => sum + error, 0);
  expect(outputError(aware)).toBeLessThan(0.9 * outputError(blind));
  expect(aware.relativeError).toBeLessThan(0.2);
  for (const entry of aware.tables) {
    const scaled = Math.abs(entry) * 2 ** (10 - Math.floor(Math.log2(Math.abs(entry) || 1)));
    expect(scaled).toBe(Math.round(scaled));
  }
});
