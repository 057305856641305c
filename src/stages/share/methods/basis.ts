import { cholesky, choleskyInverse, matmul, solveSymmetricPositive, svd } from '../../../kernels/index.ts';
import { type SquareRoot, squareRoot } from '../../factorize/methods/square-root.ts';
import type { SharedWeights, SharingInput, SharingMethod, SharingOption } from './method.ts';
import { lossOf, meanMatrix } from './metric.ts';

/** Ranks that are offered at most, evenly. */
const mostRanks = 96;

const ranksUpTo = (most: number): number[] => {
  const step = Math.max(1, most / mostRanks);
  return Array.from({ length: Math.min(most, mostRanks) }, (_, index) => Math.round((index + 1) * step));
};

/** The layers' weights one below the other, each in the metric of its outputs and of the inputs of all. */
const stacked = async (input: SharingInput, inputs: SquareRoot): Promise<Float64Array> => {
  const { layers, rows, columns, signal } = input;
  const stack = new Float64Array(layers.length * rows * columns);
  for (const [index, { weight, moments }] of layers.entries()) {
    const whitened = await matmul({ a: weight, rows, inner: columns, b: inputs.root, columns, signal });
    const output = moments.b && (await squareRoot(moments.b, rows, signal)).root;
    const weighted = output ? await matmul({ a: output, rows, inner: rows, b: whitened, columns, signal }) : whitened;
    stack.set(weighted, index * rows * columns);
  }
  return stack;
};

/** A + ε I. */
const raised = (a: Float64Array, columns: number, by: number): Float64Array =>
  a.map((value, index) => (index % (columns + 1) === 0 ? value + by : value));

/**
 * C = W A Rᵀ (R A Rᵀ)⁻¹: the best coefficients of a layer for a basis R (rank, columns) on its own inputs.
 * @param floor added to the diagonal of A, as much as the basis took for noise
 */
const refitted = async (
  { weight, moments }: SharingInput['layers'][number],
  { basis, rank, floor }: { readonly basis: Float64Array; readonly rank: number; readonly floor: number },
  { rows, columns, signal }: SharingInput,
): Promise<Float64Array> => {
  const a = raised(moments.a, columns, floor);
  const ra = await matmul({ a: basis, rows: rank, inner: columns, b: a, columns, signal });
  const inner = await matmul({ a: ra, rows: rank, inner: columns, b: basis, columns: rank, transposeB: true, signal });
  const right = await matmul({ a: ra, rows: rank, inner: columns, b: weight, columns: rows, transposeB: true, signal });
  const solved = await solveSymmetricPositive(inner, rank, right, rows, { signal });
  const coefficients = new Float64Array(rows * rank);
  for (let k = 0; k < rank; k++)
    for (let row = 0; row < rows; row++) coefficients[row * rank + k] = solved[k * rows + row]!;
  return coefficients;
};

/**
 * Losses of a layer for the first k vectors of a basis R with their best coefficients, for every k from 0: with
 * N = W A Rᵀ and R A Rᵀ = L Lᵀ the columns of Y = N L⁻ᵀ are nested, and k of them lose tr(B W A Wᵀ) − Σ_{j<k} y_jᵀ B y_j.
 */
const lossesOfBasis = async (
  layer: SharingInput['layers'][number],
  { basis, rank, floor }: { readonly basis: Float64Array; readonly rank: number; readonly floor: number },
  input: SharingInput,
): Promise<Float64Array> => {
  const { rows, columns, signal } = input;
  const { b, scale } = layer.moments;
  const a = raised(layer.moments.a, columns, floor);
  const ra = await matmul({ a: basis, rows: rank, inner: columns, b: a, columns, signal });
  const inner = await matmul({ a: ra, rows: rank, inner: columns, b: basis, columns: rank, transposeB: true, signal });
  const cross = await matmul({ a: layer.weight, rows, inner: columns, b: ra, columns: rank, transposeB: true, signal });
  const lower = await cholesky(inner, rank, { signal });
  const inverse = await choleskyInverse(inner, rank, { signal });
  const turn = await matmul({ a: inverse, rows: rank, inner: rank, b: lower, columns: rank, signal });
  const y = await matmul({ a: cross, rows, inner: rank, b: turn, columns: rank, signal });
  const by = b ? await matmul({ a: b, rows, inner: rows, b: y, columns: rank, signal }) : y;
  const unit = scale === 'relative' ? 1 : scale;
  const gains = new Float64Array(rank);
  for (let at = 0; at < y.length; at++) gains[at % rank]! += unit * y[at]! * by[at]!;
  const losses = new Float64Array(rank + 1);
  losses[0] = await lossOf(layer.weight, layer, input);
  for (let k = 0; k < rank; k++) losses[k + 1] = Math.max(0, losses[k]! - gains[k]!);
  return losses;
};

/**
 * Basis Sharing (2410.03765): the layers' weights are stacked along their outputs, whitened by the inputs of all of them
 * (and by the gradients of each), and decomposed together; the right factor is shared, each layer keeps coefficients,
 * fitted again on its own inputs. A single layer gets two factors of its own.
 */
export const basisSharing: SharingMethod = {
  name: 'basis',
  summary: 'a basis of inputs that layers share, coefficients of each (Basis Sharing)',
  options: async (input) => {
    const { layers, rows, columns, signal } = input;
    const moment = meanMatrix(layers.map(({ moments }) => moments.a))!;
    const inputs = await squareRoot(moment, columns, signal);
    const { floor } = inputs;
    const count = layers.length;
    const { vt } = await svd(await stacked(input, inputs), count * rows, columns, { signal });
    const full = Math.min(count * rows, columns);
    const turned = await matmul({ a: vt, rows: full, inner: columns, b: inputs.inverse, columns, signal });
    const weightsOf = async (rank: number): Promise<Extract<SharedWeights, { kind: 'basis' }>> => {
      const basis = turned.slice(0, rank * columns);
      const coefficients: Float64Array[] = [];
      for (const layer of layers) coefficients.push(await refitted(layer, { basis, rank, floor }, input));
      return { kind: 'basis', rank, basis, coefficients };
    };
    const losses = new Float64Array(full + 1);
    for (const layer of layers)
      (await lossesOfBasis(layer, { basis: turned, rank: full, floor }, input)).forEach((loss, rank) => {
        losses[rank]! += loss;
      });
    return ranksUpTo(full).map(
      (rank): SharingOption => ({
        label: count > 1 ? `shared basis of ${rank}` : `rank ${rank}`,
        parameters: rank * (columns + count * rows),
        operations: count * rank * (columns + rows),
        loss: losses[rank]!,
        weights: () => weightsOf(rank),
      }),
    );
  },
};
