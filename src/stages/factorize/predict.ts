import { matmul } from '../../kernels/index.ts';
import type { Decomposition } from './methods/method.ts';

export interface PredictInput {
  readonly decomposition: Decomposition;
  readonly rows: number;
  readonly columns: number;
  /** A = E[x xᵀ] (columns, columns). */
  readonly a: Float64Array;
  /** B = E[g gᵀ] (rows, rows); undefined: the identity. */
  readonly b: Float64Array | undefined;
  /** Nats per unit of tr(B ΔW A ΔWᵀ). */
  readonly scale: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Predicted loss of keeping the first r terms, for every r from 0 to the full rank: what is cut off is ΔW = Σ_{k≥r} l_k r_kᵀ,
 * so tr(B ΔW A ΔWᵀ) = Σ_{i,j≥r} (LᵀBL)_ij (R A Rᵀ)_ij, whatever method made the terms.
 */
export const lossesByRank = async (input: PredictInput): Promise<Float64Array> => {
  const { decomposition, rows, columns, a, b, scale, signal } = input;
  const n = decomposition.fullRank;
  const { left, right } = decomposition.factors(n);
  const bl = b ? await matmul({ a: b, rows, inner: rows, b: left, columns: n, signal }) : left;
  const outputs = await matmul({ a: left, rows: n, inner: rows, b: bl, columns: n, transposeA: true, signal });
  const ra = await matmul({ a: right, rows: n, inner: columns, b: a, columns, signal });
  const inputs = await matmul({ a: ra, rows: n, inner: columns, b: right, columns: n, transposeB: true, signal });
  const losses = new Float64Array(n + 1);
  for (let rank = n - 1; rank >= 0; rank--) {
    let added = outputs[rank * n + rank]! * inputs[rank * n + rank]!;
    for (let k = rank + 1; k < n; k++) added += 2 * outputs[rank * n + k]! * inputs[rank * n + k]!;
    losses[rank] = Math.max(0, losses[rank + 1]! + scale * added);
  }
  return losses;
};
