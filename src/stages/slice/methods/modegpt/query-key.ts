import { matmul } from '../../../../kernels/index.ts';

export interface QueryKeyInput {
  /** W_Q of the heads that share a key head, one below the other: (heads · size, columns). */
  readonly queries: Float64Array;
  /** W_K of the key head: (size, columns). */
  readonly key: Float64Array;
  readonly size: number;
  readonly columns: number;
  /** C = E[x xᵀ] of the inputs: (columns, columns). */
  readonly inputMoment: Float64Array;
  /** Rotary positions turn dimension i together with i + size ∕ 2. */
  readonly rotary: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** ‖C^½ w_i‖² of each row of W: (rows). */
const energies = async (
  w: Float64Array,
  columns: number,
  moment: Float64Array,
  signal: AbortSignal | undefined,
): Promise<Float64Array> => {
  const rows = w.length / columns;
  const wc = await matmul({ a: w, rows, inner: columns, b: moment, columns, signal });
  const sums = new Float64Array(rows);
  for (let index = 0; index < w.length; index++) sums[Math.floor(index / columns)]! += w[index]! * wc[index]!;
  return sums;
};

/**
 * What each dimension of a head's queries and keys (each pair, under rotary positions) contributes to the scores at
 * most: ‖C^½ q_i‖ ‖C^½ k_i‖, summed over the heads that share the keys (MoDeGPT, Lin et al. 2025, section 3.2, type II,
 * and its appendix on rotary positions).
 * @returns (size), or (size ∕ 2) for pairs
 */
export const queryKeyScores = async (input: QueryKeyInput): Promise<Float64Array> => {
  const { queries, key, size, columns, inputMoment, rotary, signal } = input;
  const q = await energies(queries, columns, inputMoment, signal);
  const k = await energies(key, columns, inputMoment, signal);
  const count = rotary ? size / 2 : size;
  const together = (sums: Float64Array, from: number, unit: number): number =>
    sums[from + unit]! + (rotary ? sums[from + unit + count]! : 0);
  const scores = new Float64Array(count);
  for (let from = 0; from < q.length; from += size)
    for (let unit = 0; unit < count; unit++)
      scores[unit]! += Math.sqrt(Math.max(0, together(q, from, unit)) * Math.max(0, together(k, 0, unit)));
  return scores;
};

/** Dimensions of a head that stay, in the order of the head: the `count` best units, with their partners. */
export const keptDimensions = (
  scores: Float64Array,
  count: number,
  { rotary }: { readonly rotary: boolean },
): number[] => {
  const units = Array.from(scores.keys())
    .sort((a, b) => scores[b]! - scores[a]! || a - b)
    .slice(0, count)
    .sort((a, b) => a - b);
  return rotary ? [...units, ...units.map((unit) => unit + scores.length)] : units;
};
