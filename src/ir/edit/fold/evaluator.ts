import type { DataType } from '../../data-type.ts';
import type { Call } from '../../inference/call.ts';
import type { Tensor } from '../../tensor.ts';

/** A node whose inputs are all constants, and the types that inference gives its outputs. */
export interface ConstantCall {
  readonly call: Call;
  /** The constants; undefined for missing optional inputs. */
  readonly tensors: readonly (Tensor | undefined)[];
  readonly outputs: readonly { readonly dtype: DataType; readonly shape: readonly number[] }[];
}

/** Computes the outputs of a node with constant inputs; undefined for cases it leaves to the inference engine. */
export type Evaluator = (constants: ConstantCall) => readonly Tensor[] | undefined;

export type EvaluatorTable = Readonly<Record<string, Evaluator>>;
