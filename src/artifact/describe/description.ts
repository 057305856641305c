import type { DataType } from '../../ir/data-type.ts';
import type { Manifest } from '../manifest-schema.ts';

/** What a part of a network is for; a constant belongs to the part of the operator that reads it. */
export type Part =
  | 'embedding'
  | 'attention'
  | 'mlp'
  | 'head'
  | 'linear'
  | 'convolution'
  | 'recurrent'
  | 'normalization'
  | 'other';

export interface DescribedValue {
  readonly name: string;
  /** Element type or kind ('sequence', …); undefined where the file does not say. */
  readonly dtype: string | undefined;
  /** As text, `[batch, 3]`, `?` for an unknown rank. */
  readonly shape: string;
}

/** A sum over constants. */
export interface Tally {
  readonly tensors: number;
  readonly elements: number;
  readonly bytes: number;
}

/** A weight that is stored in integers with scales, and what reads it. */
export interface QuantizedWeight {
  readonly name: string;
  /** Operator that reads the integers: 'MatMulNBits', 'DequantizeLinear', 'ConvInteger', … */
  readonly form: string;
  readonly bits: number;
  /** Elements that share a scale; 0: one for the tensor or per row. */
  readonly blockSize: number;
  /** Weights that the integers stand for. */
  readonly elements: number;
}

export interface DescribedFile {
  /** Relative to the folder of the model. */
  readonly path: string;
  readonly role: 'model' | 'external data' | 'shard' | 'companion';
  readonly bytes: number;
}

/** What a graph is made of. */
export interface GraphDescription {
  readonly irVersion: number;
  readonly producer: string;
  readonly opsets: readonly { readonly domain: string; readonly version: number }[];
  readonly inputs: readonly DescribedValue[];
  readonly outputs: readonly DescribedValue[];
  /** Nodes by operator, bodies included, the most frequent first. Domains other than the standard one are prefixed. */
  readonly operators: readonly { readonly operator: string; readonly count: number }[];
  readonly subgraphs: number;
  readonly functions: number;
  /** Learned numbers: elements of floating-point constants, and of the weights that quantized ones stand for. */
  readonly parameters: number;
  readonly byPart: Readonly<Partial<Record<Part, Tally>>>;
  readonly quantizedWeights: readonly QuantizedWeight[];
  /** Activations that are rounded while the graph runs, statically or dynamically. */
  readonly quantizedActivations: number;
}

/** What `inspect` tells of a model. Nothing of it needs a weight to be read. */
export interface ModelDescription {
  readonly path: string;
  readonly kind: 'onnx' | 'checkpoint' | 'safetensors' | 'tensorflowjs';
  readonly family: string | undefined;
  /** Why a checkpoint has no graph, where it has none. */
  readonly note: string | undefined;
  readonly graph: GraphDescription | undefined;
  /** Constants by element type, as they are stored. */
  readonly byDataType: Readonly<Partial<Record<DataType, Tally>>>;
  readonly bytes: number;
  readonly files: readonly DescribedFile[];
  readonly manifest: Manifest | undefined;
}
