import { eigenSymmetric, matmul, solveSymmetricPositive } from '../../../kernels/index.ts';
import { Random } from '../../../random.ts';
import { squareRoot } from './square-root.ts';
import { channelMoment, type TuckerInput } from './tucker.ts';

/** A convolution W (rows, channels · places) ≈ Σ_r output_r ⊗ input_r ⊗ filter_r. */
export interface CanonicalFactors {
  /** (rank, channels): a pointwise convolution of the inputs. */
  readonly input: Float64Array;
  /** (rank, places): each inner channel's own filter. */
  readonly filter: Float64Array;
  /** (rows, rank): a pointwise convolution to the outputs. */
  readonly output: Float64Array;
}

/** Passes of alternating least squares. */
const passes = 40;
/** Added to the diagonal of the systems, as a share of their mean diagonal: terms that cancel out stay small. */
const ridge = 1e-9;

/** The three ways to look at a tensor (rows, channels, places). */
interface Tensor3 {
  readonly data: Float64Array;
  readonly sizes: readonly [number, number, number];
}

const at = ([, channels, places]: Tensor3['sizes'], i: number, j: number, k: number): number =>
  (i * channels + j) * places + k;

/** The tensor unfolded along a mode: (size of the mode, the other two, the later one fastest). */
const unfold = ({ data, sizes }: Tensor3, mode: 0 | 1 | 2): Float64Array => {
  const [a, b, c] = sizes;
  const made = new Float64Array(data.length);
  let to = 0;
  if (mode === 0) return data;
  if (mode === 1) {
    for (let j = 0; j < b; j++)
      for (let i = 0; i < a; i++) for (let k = 0; k < c; k++) made[to++] = data[at(sizes, i, j, k)]!;
    return made;
  }
  for (let k = 0; k < c; k++)
    for (let i = 0; i < a; i++) for (let j = 0; j < b; j++) made[to++] = data[at(sizes, i, j, k)]!;
  return made;
};

/** Columns x_r ⊗ y_r of two factors (m, rank) and (n, rank): (m · n, rank). */
const khatriRao = (x: Float64Array, y: Float64Array, rank: number): Float64Array => {
  const [m, n] = [x.length / rank, y.length / rank];
  const made = new Float64Array(m * n * rank);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++)
      for (let r = 0; r < rank; r++) made[(i * n + j) * rank + r] = x[i * rank + r]! * y[j * rank + r]!;
  return made;
};

/** (Xᵀ X) ∘ (Yᵀ Y), with a little on its diagonal: (rank, rank). */
const normalMatrix = async (x: Float64Array, y: Float64Array, rank: number): Promise<Float64Array> => {
  const gram = (z: Float64Array): Promise<Float64Array> =>
    matmul({ a: z, rows: rank, inner: z.length / rank, b: z, columns: rank, transposeA: true });
  const [xx, yy] = [await gram(x), await gram(y)];
  const made = xx.map((value, index) => value * yy[index]!);
  let trace = 0;
  for (let r = 0; r < rank; r++) trace += made[r * rank + r]!;
  for (let r = 0; r < rank; r++) made[r * rank + r]! += (ridge * trace) / rank + Number.MIN_VALUE * 2 ** 60;
  return made;
};

/** The best factor of one mode for given others: (size, rank). */
const leastSquares = async (
  unfolded: Float64Array,
  x: Float64Array,
  y: Float64Array,
  rank: number,
): Promise<Float64Array> => {
  const others = khatriRao(x, y, rank);
  const size = unfolded.length / (others.length / rank);
  const right = await matmul({
    a: others,
    rows: rank,
    inner: others.length / rank,
    b: unfolded,
    columns: size,
    transposeA: true,
    transposeB: true,
  });
  const solved = await solveSymmetricPositive(await normalMatrix(x, y, rank), rank, right, size);
  const factor = new Float64Array(size * rank);
  for (let r = 0; r < rank; r++) for (let i = 0; i < size; i++) factor[i * rank + r] = solved[r * size + i]!;
  return factor;
};

/** Leading directions of a mode, and drawn ones where the rank is greater than the mode: (size, rank). */
const start = async (tensor: Tensor3, mode: 0 | 1 | 2, rank: number): Promise<Float64Array> => {
  const size = tensor.sizes[mode];
  const unfolded = unfold(tensor, mode);
  const gram = await matmul({
    a: unfolded,
    rows: size,
    inner: unfolded.length / size,
    b: unfolded,
    columns: size,
    transposeB: true,
  });
  const { vectors } = await eigenSymmetric(gram, size);
  const drawn = new Random(0, `canonical mode ${mode}`).normals(size * rank);
  return Float64Array.from({ length: size * rank }, (_, index) => {
    const [row, r] = [Math.floor(index / rank), index % rank];
    return r < size ? vectors[row * size + size - 1 - r]! : drawn[index]! / Math.sqrt(size);
  });
};

/** Makes the columns of a factor unit vectors; their lengths go to another one. */
const balance = (from: Float64Array, to: Float64Array, rank: number): void => {
  for (let r = 0; r < rank; r++) {
    let norm = 0;
    for (let index = r; index < from.length; index += rank) norm += from[index]! ** 2;
    norm = Math.sqrt(norm);
    if (!(norm > 0)) continue;
    for (let index = r; index < from.length; index += rank) from[index]! /= norm;
    for (let index = r; index < to.length; index += rank) to[index]! *= norm;
  }
};

/** The transpose of x (rows, columns). */
const turned = (x: Float64Array, rows: number, columns: number): Float64Array =>
  Float64Array.from({ length: rows * columns }, (_, index) => x[(index % rows) * columns + Math.floor(index / rows)]!);

/**
 * Canonical polyadic decomposition of a convolution (Lebedev et al. 2015, arXiv 1412.6553), by alternating least squares
 * in the curvature's metric: outputs weighted by B^½, channels by the root of their mean second moment over the places.
 */
export const canonicalFactors = async (input: TuckerInput, rank: number): Promise<CanonicalFactors> => {
  const { weight, rows, columns, channels, a, b, signal } = input;
  const places = columns / channels;
  const outputs = b && (await squareRoot(b, rows, signal));
  const inputs = await squareRoot(channelMoment(a, channels, places), channels, signal);
  const scaled = outputs ? await matmul({ a: outputs.root, rows, inner: rows, b: weight, columns }) : weight;
  const sizes = [rows, channels, places] as const;
  const byChannel = unfold({ data: scaled, sizes }, 1);
  const whitened = await matmul({
    a: inputs.root,
    rows: channels,
    inner: channels,
    b: byChannel,
    columns: rows * places,
  });
  const data = new Float64Array(whitened.length);
  for (let j = 0; j < channels; j++)
    for (let i = 0; i < rows; i++)
      for (let k = 0; k < places; k++) data[at(sizes, i, j, k)] = whitened[(j * rows + i) * places + k]!;
  const tensor: Tensor3 = { data, sizes };
  const views = [unfold(tensor, 0), unfold(tensor, 1), unfold(tensor, 2)] as const;
  let u = await start(tensor, 0, rank);
  let v = await start(tensor, 1, rank);
  let w = await start(tensor, 2, rank);
  for (let pass = 0; pass < passes; pass++) {
    signal?.throwIfAborted();
    u = await leastSquares(views[0], v, w, rank);
    balance(u, v, rank);
    v = await leastSquares(views[1], u, w, rank);
    balance(v, w, rank);
    w = await leastSquares(views[2], u, v, rank);
    if (pass < passes - 1) balance(w, u, rank);
  }
  return {
    output: outputs ? await matmul({ a: outputs.inverse, rows, inner: rows, b: u, columns: rank }) : u,
    input: turned(
      await matmul({ a: inputs.inverse, rows: channels, inner: channels, b: v, columns: rank }),
      channels,
      rank,
    ),
    filter: turned(w, places, rank),
  };
};

/** The weight (rows, channels · places) that factors stand for. */
export const expandCanonical = ({ input, filter, output }: CanonicalFactors, rank: number): Float64Array => {
  const [rows, channels, places] = [output.length / rank, input.length / rank, filter.length / rank];
  const made = new Float64Array(rows * channels * places);
  for (let i = 0; i < rows; i++)
    for (let r = 0; r < rank; r++)
      for (let j = 0; j < channels; j++) {
        const factor = output[i * rank + r]! * input[r * channels + j]!;
        for (let k = 0; k < places; k++) made[(i * channels + j) * places + k]! += factor * filter[r * places + k]!;
      }
  return made;
};
