import type { Tensor } from '../../ir/tensor.ts';
import type { ParameterSpec } from '../parameters.ts';

/** How the array that a session is fed with becomes the graph's constant. */
export type LeafArrangement =
  /** It is the constant. */
  | { readonly kind: 'whole' }
  /** A matrix (rows, columns) that is transposed, and reshaped to the constant's shape. */
  | { readonly kind: 'transposed'; readonly shape: readonly number[] };

/**
 * A constant of the graph in training: what is trained for it, what the graph is fed with for it, and what it becomes.
 * `values` and `gradients` are in the order of `parameters`.
 */
export interface TrainedWeight {
  /** Name of the constant. */
  readonly name: string;
  readonly parameters: readonly ParameterSpec[];
  /** Shape of the array that the graph is fed with. */
  readonly leafShape: readonly number[];
  readonly arrangement: LeafArrangement;
  /** The array to feed under these parameters; may be the parameters' own memory, and is overwritten by the next call. */
  leaf(values: readonly Float32Array[]): Promise<Float32Array>;
  /** The same for judging, where what is fed in training is not yet what the constant becomes; default `leaf`. */
  judgedLeaf?(values: readonly Float32Array[]): Promise<Float32Array>;
  /** Gradients of the parameters from that of the leaf, whose memory may be used for them. */
  pullBack(values: readonly Float32Array[], leafGradient: Float32Array): Promise<readonly Float32Array[]>;
  /** The constant under these parameters, in its own memory. */
  tensor(values: readonly Float32Array[]): Promise<Tensor>;
}
