import { readSiteMatrix } from '../../../../analysis/site-weights.ts';
import type { Site } from '../../../../analysis/sites.ts';
import { type Curvature, inputMoment } from '../../../../curvature/moments.ts';
import type { Program } from '../../../../ir/graph.ts';
import { keptDimensions, queryKeyScores } from '../../methods/modegpt/query-key.ts';
import { valueOutputFactors } from '../../methods/modegpt/value-output.ts';
import type { Attention } from './attention.ts';
import { narrowPath, selectGemmBias, selectOperands, setMatrix } from './narrow.ts';

/** What goes of one attention: numbers of units that stay. */
export interface Narrower {
  readonly attention: Attention;
  /** Of each head's queries and keys: dimensions, or pairs under rotary positions. */
  readonly units: number;
  /** Of each key head's values. */
  readonly values: number;
}

const rowsOf = (matrix: ArrayLike<number>, columns: number, from: number, count: number): Float64Array =>
  Float64Array.from({ length: count * columns }, (_, index) => matrix[from * columns + index]!);

/** Heads of the queries that read one key head. */
const headsOf = ({ query, key }: Attention, group: number): number[] => {
  const each = query.heads / key.heads;
  return Array.from({ length: each }, (_, index) => group * each + index);
};

const selectRows = (site: Site, rows: readonly number[]): void => {
  const { columns } = site;
  const matrix = readSiteMatrix(site);
  const cut = new Float64Array(rows.length * columns);
  rows.forEach((row, at) => {
    cut.set(matrix.subarray(row * columns, (row + 1) * columns), at * columns);
  });
  setMatrix(site, cut, rows.length, columns);
};

/** Queries and keys lose the dimensions (pairs, under rotary positions) that scores feel least, head by head. */
export const narrowScores = async (
  program: Program,
  { attention, units }: Narrower,
  curvature: Curvature,
  signal: AbortSignal,
): Promise<void> => {
  const { query, key, rotary } = attention;
  const { size } = query;
  const whole = rotary ? size / 2 : size;
  if (units >= whole) return;
  const { columns } = query.site;
  const moment = inputMoment(curvature.sites.get(query.site.name)!);
  const [queries, keys] = [readSiteMatrix(query.site), readSiteMatrix(key.site)];
  const byGroup: number[][] = [];
  for (let group = 0; group < key.heads; group++) {
    const [first, ...others] = headsOf(attention, group);
    const scores = await queryKeyScores({
      queries: rowsOf(queries, columns, first! * size, (1 + others.length) * size),
      key: rowsOf(keys, columns, group * size, size),
      size,
      columns,
      inputMoment: moment,
      rotary,
      signal,
    });
    byGroup.push(keptDimensions(scores, units, { rotary }));
  }
  const byHead = byGroup.flatMap((kept, group) => headsOf(attention, group).map(() => kept));
  for (const [path, kept] of [
    [query, byHead],
    [key, byGroup],
  ] as const) {
    const rows = kept.flatMap((dimensions, head) => dimensions.map((dimension) => head * size + dimension));
    selectOperands(program, path, kept);
    selectGemmBias(program, path, rows);
    selectRows(path.site, rows);
    narrowPath(program, path, kept[0]!.length);
  }
};

/** Values and outputs of each key head become the best product of `values` dimensions. */
export const narrowValues = async (
  program: Program,
  { attention, values: to }: Narrower,
  curvature: Curvature,
  signal: AbortSignal,
): Promise<void> => {
  const { value, output, key } = attention;
  const { size, site } = value;
  if (to >= size) return;
  const { columns } = site;
  const rows = output.site.rows;
  const moment = inputMoment(curvature.sites.get(site.name)!);
  const [v, o] = [readSiteMatrix(site), readSiteMatrix(output.site)];
  const newV = new Float64Array(key.heads * to * columns);
  const newO = new Float64Array(rows * output.heads * to);
  for (let group = 0; group < key.heads; group++) {
    const heads = headsOf(attention, group);
    const outputs = new Float64Array(heads.length * rows * size);
    heads.forEach((head, at) => {
      for (let row = 0; row < rows; row++)
        for (let k = 0; k < size; k++)
          outputs[(at * rows + row) * size + k] = o[row * output.site.columns + head * size + k]!;
    });
    const decomposition = await valueOutputFactors({
      value: rowsOf(v, columns, group * size, size),
      outputs,
      size,
      columns,
      inputMoment: moment,
      signal,
    });
    const { left, right } = decomposition.factors(to);
    newV.set(right, group * to * columns);
    heads.forEach((head, at) => {
      for (let row = 0; row < rows; row++)
        for (let k = 0; k < to; k++) newO[row * output.heads * to + head * to + k] = left[(at * rows + row) * to + k]!;
    });
  }
  setMatrix(site, newV, key.heads * to, columns);
  setMatrix(output.site, newO, rows, output.heads * to);
  narrowPath(program, value, to);
  narrowPath(program, output, to);
};

/** Elements of a narrower attention beside those of the whole. */
export const savedBy = ({ attention, units, values }: Narrower): number => {
  const { query, key, value, output, rotary } = attention;
  const dimensions = rotary ? 2 * units : units;
  const scores = (query.heads + key.heads) * (query.size - dimensions) * query.site.columns;
  return scores + (value.size - values) * (value.heads * value.site.columns + output.heads * output.site.rows);
};
