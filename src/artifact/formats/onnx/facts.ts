import type { Attribute, Carried } from '../../../ir/graph.ts';
import type { ValueType } from '../../../ir/shape.ts';
import type { Tensor } from '../../../ir/tensor.ts';
import type {
  AttributeProtoSchema,
  FunctionProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
  ValueInfoProto,
  ValueInfoProtoSchema,
} from './generated/onnx_pb.ts';
import type { Residue } from './residue.ts';
import type { Payload } from './wire/payload.ts';

/** How a file stored a tensor, where that is not plain raw_data. Holds as long as the tensor is the same object. */
interface StoredForm {
  readonly tensor: Tensor;
  /** Undefined: no field at all (a tensor without elements). */
  readonly payload: Payload | undefined;
}

export interface TensorFacts {
  readonly residue?: Residue<typeof TensorProtoSchema>;
  readonly stored?: StoredForm;
}

/** Facts of a value: of its ValueInfoProto, its place in the value_info list, its TensorProto or SparseTensorProto. */
export interface ValueFacts {
  readonly info?: Residue<typeof ValueInfoProtoSchema>;
  readonly listed?: number;
  readonly tensor?: TensorFacts;
  /** The bytes of a sparse initializer, length prefix included, and the dense view that stands for them. */
  readonly sparse?: { readonly tensor: Tensor; readonly bytes: Uint8Array };
}

/** Facts of one attribute, which hold while it keeps its kind. */
export interface AttributeFacts {
  readonly kind: Attribute['kind'];
  readonly residue?: Residue<typeof AttributeProtoSchema>;
  /** Parts of the usual form that the file leaves out: the type, or a content that is zero or empty. */
  readonly leavesOut?: readonly ('type' | 'content')[];
  /** Numbers that JavaScript cannot hold exactly: hold while the attribute is the same object. */
  readonly exact?: {
    readonly attribute: Attribute;
    readonly floats?: Uint8Array;
    readonly integers?: readonly bigint[];
  };
}

export interface NodeFacts {
  readonly residue?: Residue<typeof NodeProtoSchema>;
  readonly attributes?: ReadonlyMap<string, AttributeFacts>;
}

/** A second ValueInfoProto of a value that says something else than the first. */
export interface InfoOverride {
  readonly list: 'input' | 'output' | 'value_info';
  /** Position in that list. */
  readonly index: number;
  readonly name: string;
  readonly info: ValueInfoProto;
  /** Type of the value when it was read: the override holds while it keeps it. */
  readonly type: ValueType | undefined;
}

export interface GraphFacts {
  readonly residue?: Residue<typeof GraphProtoSchema>;
  readonly overrides?: readonly InfoOverride[];
  /** Entries of value_info that name no value, with their place in the list. */
  readonly dangling?: readonly { readonly listed: number; readonly info: ValueInfoProto }[];
}

export interface FunctionFacts {
  readonly residue?: Residue<typeof FunctionProtoSchema>;
}

export interface ProgramFacts {
  readonly residue?: Residue<typeof ModelProtoSchema>;
}

/**
 * Facts travel in the `carried` field of the IR objects under the key `onnx`; nothing else writes that key, so reading
 * it back as the type that was stored is sound.
 */
export const carry = (facts: object): Carried | undefined =>
  Object.values(facts).every((fact) => fact === undefined) ? undefined : { onnx: facts };

export const factsOf = <Facts extends object>(carried: Carried | undefined): Partial<Facts> =>
  (carried?.onnx as Facts | undefined) ?? {};
