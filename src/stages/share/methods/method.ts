import type { SiteMoments } from '../../factorize/site-moments.ts';

/** One layer's weight of a group that is to share. */
export interface Layer {
  /** W: (rows, columns). */
  readonly weight: Float64Array;
  readonly moments: SiteMoments;
}

/** Weights of the same size, of layers in order. */
export interface SharingInput {
  readonly layers: readonly Layer[];
  readonly rows: number;
  readonly columns: number;
  readonly signal: AbortSignal;
}

/** A private product left · right of one layer. */
export interface PrivateFactors {
  /** (rows, rank). */
  readonly left: Float64Array;
  /** (rank, columns). */
  readonly right: Float64Array;
  readonly rank: number;
}

/**
 * What a layer's weight becomes.
 * 'basis': coefficients (rows, rank) times a basis (rank, columns) that all layers read.
 * 'atoms': the sum of shared matrices (rows, columns) with the layer's coefficients, and a private product if any.
 */
export type SharedWeights =
  | {
      readonly kind: 'basis';
      readonly rank: number;
      /** (rank, columns). */
      readonly basis: Float64Array;
      /** One a layer: (rows, rank). */
      readonly coefficients: readonly Float64Array[];
    }
  | {
      readonly kind: 'atoms';
      /** Each (rows, columns). */
      readonly atoms: readonly Float64Array[];
      /** One a layer: as many numbers as atoms. */
      readonly coefficients: readonly (readonly number[])[];
      readonly residuals: readonly (PrivateFactors | undefined)[];
    };

/** A way that a group may share: what it costs and what it is predicted to lose. */
export interface SharingOption {
  readonly label: string;
  /** Elements that are stored. */
  readonly parameters: number;
  /** Multiplications of all layers for one position. */
  readonly operations: number;
  /** Predicted loss in nats an item. */
  readonly loss: number;
  weights(): Promise<SharedWeights>;
}

export interface SharingMethodOptions {
  /** Atoms tried by 'atoms'; undefined: every number up to half of the layers. */
  readonly atoms: number | undefined;
  /** Whether layers may have private low-rank products beside what they share. */
  readonly residual: boolean;
}

/** A way to share among layers: every option by rising cost is offered to the allocator. */
export interface SharingMethod {
  readonly name: string;
  readonly summary: string;
  options(input: SharingInput, options: SharingMethodOptions): Promise<SharingOption[]>;
}
