/** A weight y = W x with what is known of its inputs and of the loss at its outputs. */
export interface FactorInput {
  /** W: (rows, columns). */
  readonly weight: Float64Array;
  readonly rows: number;
  readonly columns: number;
  /** A = E[x xᵀ]: (columns, columns). */
  readonly a: Float64Array;
  /** B = E[g gᵀ]: (rows, rows); undefined where no gradient is known: the method then uses the identity. */
  readonly b: Float64Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** W ≈ left · right. */
export interface Factors {
  /** (rows, rank). */
  readonly left: Float64Array;
  /** (rank, columns). */
  readonly right: Float64Array;
}

/** A weight decomposed in the order of importance that a method sees. */
export interface Decomposition {
  /** The greatest rank: at it the factors are exact. */
  readonly fullRank: number;
  /** The best factors of a rank, from 1 to `fullRank`. */
  factors(rank: number): Factors;
}

/** A way to decompose a matrix. */
export interface FactorMethod {
  readonly name: string;
  readonly summary: string;
  /** Which moments it looks at: none, those of the inputs, or those of inputs and outputs. */
  readonly looksAt: 'nothing' | 'inputs' | 'both';
  decompose(input: FactorInput): Promise<Decomposition>;
}
