import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  FunctionProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
} from '../generated/onnx_pb.ts';
import { wireTypes } from './byte-reader.ts';

/** Field number of GraphProto.sparse_initializer. */
export const sparseInitializerField = GraphProtoSchema.field.sparseInitializer.number;

/**
 * Fields that the IR does not model: kept as the bytes that they are, like fields that the schema does not know.
 * Sparse initializers are here too; they are decoded from those bytes.
 */
const opaqueFields: ReadonlyMap<DescMessage, ReadonlySet<number>> = new Map(
  [
    [ModelProtoSchema.field.trainingInfo, ModelProtoSchema.field.configuration],
    [GraphProtoSchema.field.sparseInitializer],
    [FunctionProtoSchema.field.attributeProto],
    [NodeProtoSchema.field.deviceConfigurations],
    [
      AttributeProtoSchema.field.typeProtos,
      AttributeProtoSchema.field.sparseTensor,
      AttributeProtoSchema.field.sparseTensors,
    ],
    [TensorProtoSchema.field.segment],
  ].flatMap((fields): [DescMessage, Set<number>][] =>
    fields[0] ? [[fields[0].parent, new Set(fields.map((field) => field.number))]] : [],
  ),
);

/** How one field is read: what the descriptor says, in the form that reading needs. */
export interface FieldPlan {
  readonly field: DescField;
  readonly name: string;
  readonly oneof: string | undefined;
  readonly message: DescMessage | undefined;
  readonly scalar: ScalarType;
  readonly repeated: boolean;
}

const plans = new WeakMap<DescMessage, ReadonlyMap<number, FieldPlan>>();

/** The fields of a message that are read as such, by number; all others are kept as bytes. */
export const planOf = (schema: DescMessage): ReadonlyMap<number, FieldPlan> => {
  const known = plans.get(schema);
  if (known) return known;
  const opaque = opaqueFields.get(schema);
  const made = new Map<number, FieldPlan>();
  for (const field of schema.fields) {
    if (opaque?.has(field.number)) continue;
    made.set(field.number, {
      field,
      name: field.localName,
      oneof: field.oneof?.localName,
      message: field.message,
      scalar: field.scalar ?? ScalarType.INT32,
      repeated: field.fieldKind === 'list',
    });
  }
  plans.set(schema, made);
  return made;
};

/** The wire type that one element of a scalar type has. */
export const wireTypeOf = (scalar: ScalarType): number => {
  switch (scalar) {
    case ScalarType.FLOAT:
      return wireTypes.bit32;
    case ScalarType.DOUBLE:
      return wireTypes.bit64;
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return wireTypes.lengthDelimited;
    default:
      return wireTypes.varint;
  }
};
