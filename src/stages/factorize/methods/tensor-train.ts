import { matmul, svd } from '../../../kernels/index.ts';

/** One core of a train: (before, rows, columns, after), the last index fastest. */
export interface TrainCore {
  readonly before: number;
  readonly rows: number;
  readonly columns: number;
  readonly after: number;
  readonly data: Float64Array;
}

/** How a matrix is seen as a tensor: the lengths multiply to its rows and to its columns. */
export interface TrainShape {
  readonly rows: readonly number[];
  readonly columns: readonly number[];
}

/** Elements of all cores. */
export const trainParameters = (cores: readonly Pick<TrainCore, 'before' | 'rows' | 'columns' | 'after'>[]): number =>
  cores.reduce((sum, { before, rows, columns, after }) => sum + before * rows * columns * after, 0);

const product = (lengths: readonly number[]): number => lengths.reduce((total, length) => total * length, 1);

/** The digits of a number in mixed radix, the last length fastest. */
const digitsOf = (value: number, lengths: readonly number[]): number[] => {
  const digits = new Array<number>(lengths.length);
  let left = value;
  for (let at = lengths.length - 1; at >= 0; at--) {
    digits[at] = left % lengths[at]!;
    left = Math.floor(left / lengths[at]!);
  }
  return digits;
};

/** Where element (row, column) of the matrix lies in the tensor whose k-th index is (row digit k, column digit k). */
const placesOf = ({ rows, columns }: TrainShape): { row: Float64Array; column: Float64Array } => {
  const strides = new Array<number>(rows.length);
  let stride = 1;
  for (let at = rows.length - 1; at >= 0; at--) {
    strides[at] = stride;
    stride *= rows[at]! * columns[at]!;
  }
  const offsets = (lengths: readonly number[], factors: readonly number[]): Float64Array =>
    Float64Array.from({ length: product(lengths) }, (_, index) =>
      digitsOf(index, lengths).reduce((sum, digit, at) => sum + digit * factors[at]! * strides[at]!, 0),
    );
  return {
    row: offsets(rows, columns),
    column: offsets(
      columns,
      columns.map(() => 1),
    ),
  };
};

/** A matrix (rows, columns) as the tensor of a shape, and back. */
export const tensorOfMatrix = (matrix: ArrayLike<number>, shape: TrainShape): Float64Array => {
  const { row, column } = placesOf(shape);
  const tensor = new Float64Array(matrix.length);
  for (let i = 0; i < row.length; i++)
    for (let j = 0; j < column.length; j++) tensor[row[i]! + column[j]!] = matrix[i * column.length + j]!;
  return tensor;
};

export const matrixOfTensor = (tensor: ArrayLike<number>, shape: TrainShape): Float64Array => {
  const { row, column } = placesOf(shape);
  const matrix = new Float64Array(tensor.length);
  for (let i = 0; i < row.length; i++)
    for (let j = 0; j < column.length; j++) matrix[i * column.length + j] = tensor[row[i]! + column[j]!]!;
  return matrix;
};

/** What decides the ranks of a decomposition by singular values: the greatest, or what may be cut off at each step. */
export type TrainLimit = { readonly rank: number } | { readonly cutOff: number };

/** How many singular values stay: all but those whose squares sum to at most the limit's. */
const rankFor = (s: Float64Array, limit: TrainLimit): number => {
  const positive = Math.max(1, s.findLastIndex((value) => value > 1e-12 * s[0]!) + 1);
  if ('rank' in limit) return Math.min(positive, limit.rank);
  let rank = positive;
  for (let gone = 0; rank > 1; rank--) {
    gone += s[rank - 1]! ** 2;
    if (gone > limit.cutOff ** 2) break;
  }
  return rank;
};

/**
 * TT-SVD (Oseledets 2011, algorithm 1): the tensor (n_1, …, n_d), n_k = rows_k · columns_k, as a train of cores by
 * successive singular value decompositions. With a cut-off of δ at each of the d − 1 steps the error is at most
 * δ √(d − 1) (theorem 2.2); without a limit that bites the train is exact.
 */
export const tensorTrain = async (
  tensor: Float64Array,
  { rows, columns }: TrainShape,
  limit: TrainLimit,
  signal?: AbortSignal,
): Promise<TrainCore[]> => {
  return splitOff([], { rest: tensor, before: 1 }, { rows, columns, last: 1 }, limit, signal);
};

/** Splits the cores that a train still lacks off what is left, (before, n_k, …, n_d, last), one after the other. */
const splitOff = async (
  begun: readonly TrainCore[],
  left: { readonly rest: Float64Array; readonly before: number },
  { rows, columns, last }: TrainShape & { readonly last: number },
  limit: TrainLimit,
  signal?: AbortSignal,
): Promise<TrainCore[]> => {
  const cores = [...begun];
  let { rest, before } = left;
  for (let at = cores.length; at < rows.length - 1; at++) {
    const height = before * rows[at]! * columns[at]!;
    const width = rest.length / height;
    const full = Math.min(height, width);
    const { u, s, vt } = await svd(rest, height, width, { signal });
    const after = rankFor(s, limit);
    const data = new Float64Array(height * after);
    for (let row = 0; row < height; row++) for (let k = 0; k < after; k++) data[row * after + k] = u[row * full + k]!;
    cores.push({ before, rows: rows[at]!, columns: columns[at]!, after, data });
    rest = Float64Array.from({ length: after * width }, (_, index) => s[Math.floor(index / width)]! * vt[index]!);
    before = after;
  }
  cores.push({ before, rows: rows.at(-1)!, columns: columns.at(-1)!, after: last, data: rest });
  return cores;
};

/**
 * Tensor ring by singular values (Zhao et al. 2016, arXiv 1606.05535, algorithm 1): the first decomposition's rank is
 * divided between the two ends of the first core, so that the first core's `before` and the last one's `after` are one
 * index that is summed over.
 */
export const tensorRing = async (
  tensor: Float64Array,
  { rows, columns }: TrainShape,
  limit: TrainLimit,
  signal?: AbortSignal,
): Promise<TrainCore[]> => {
  const [firstRows, firstColumns] = [rows[0]!, columns[0]!];
  const height = firstRows * firstColumns;
  const width = tensor.length / height;
  const full = Math.min(height, width);
  const { u, s, vt } = await svd(tensor, height, width, { signal });
  const rank = rankFor(s, 'rank' in limit ? { rank: limit.rank ** 2 } : limit);
  const ends = divisorNear(rank);
  const after = rank / ends;
  const first = new Float64Array(ends * height * after);
  for (let row = 0; row < height; row++)
    for (let end = 0; end < ends; end++)
      for (let k = 0; k < after; k++) first[(end * height + row) * after + k] = u[row * full + end * after + k]!;
  // The rest as (after, n_2, …, n_d, ends): what closes the ring is the last index.
  const rest = new Float64Array(rank * width);
  for (let end = 0; end < ends; end++)
    for (let k = 0; k < after; k++)
      for (let column = 0; column < width; column++) {
        const at = end * after + k;
        rest[(k * width + column) * ends + end] = s[at]! * vt[at * width + column]!;
      }
  const core = { before: ends, rows: firstRows, columns: firstColumns, after, data: first };
  return splitOff([core], { rest, before: after }, { rows, columns, last: ends }, limit, signal);
};

/** The divisor of a number that is nearest to its root from below. */
const divisorNear = (value: number): number => {
  for (let divisor = Math.floor(Math.sqrt(value)); divisor > 1; divisor--) if (value % divisor === 0) return divisor;
  return 1;
};

/** The tensor (n_1, …, n_d) that cores stand for; the ends are summed over where they are an index. */
export const expandTrain = async (cores: readonly TrainCore[], signal?: AbortSignal): Promise<Float64Array> => {
  const [first, ...others] = cores;
  const ends = first!.before;
  let made: Float64Array = first!.data;
  let height = ends * first!.rows * first!.columns;
  for (const { before, rows, columns, after, data } of others) {
    made = await matmul({ a: made, rows: height, inner: before, b: data, columns: rows * columns * after, signal });
    height *= rows * columns;
  }
  if (ends === 1) return made;
  const size = height / ends;
  const summed = new Float64Array(size);
  for (let end = 0; end < ends; end++)
    for (let at = 0; at < size; at++) summed[at]! += made[(end * size + at) * ends + end]!;
  return summed;
};

/** Ways to write a number as a product of `count` lengths of at least two (one, where there are not enough divisors). */
const divisions = (value: number, count: number): number[][] => {
  if (count === 1) return [[value]];
  const found: number[][] = [];
  for (let divisor = 1; divisor <= value; divisor++) {
    if (value % divisor !== 0) continue;
    for (const rest of divisions(value / divisor, count - 1)) found.push([divisor, ...rest]);
  }
  return found;
};

/** How uneven the lengths of the tensor are: 0 when all are alike. */
const spread = (lengths: readonly number[]): number => {
  const mean = lengths.reduce((sum, length) => sum + Math.log(length), 0) / lengths.length;
  return lengths.reduce((sum, length) => sum + (Math.log(length) - mean) ** 2, 0);
};

/** Shapes of `order` cores for a matrix, those with the most even cores first. */
export const trainShapes = (rows: number, columns: number, order: number, most: number): TrainShape[] => {
  const shapes = divisions(rows, order).flatMap((high) =>
    divisions(columns, order)
      .map((wide): TrainShape => ({ rows: high, columns: wide }))
      .filter(({ columns: lengths }) => high.every((length, at) => length * lengths[at]! > 1)),
  );
  const unevenness = (shape: TrainShape): number =>
    Math.round(1e9 * spread(shape.rows.map((length, at) => length * shape.columns[at]!)));
  return shapes
    .map((shape) => ({ shape, by: unevenness(shape) }))
    .sort((a, b) => a.by - b.by)
    .slice(0, most)
    .map(({ shape }) => shape);
};
