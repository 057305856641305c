import { create, createRegistry, equals } from '@bufbuild/protobuf';
import { type DataType, dataTypes } from '../../../ir/data-type.ts';
import type { Dim, Shape, ValueType } from '../../../ir/shape.ts';
import {
  type TensorShapeProto,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  type TypeProto,
  TypeProtoSchema,
} from './generated/onnx_pb.ts';

const byNumber = new Map<number, DataType>(
  Object.entries(dataTypes).map(([name, facts]) => [facts.onnx, name as DataType]),
);

/** The element type with this number, or undefined where no IR version knows it. */
export const dataTypeOf = (number: number): DataType | undefined => byNumber.get(number);

const decodeDim = (dim: TensorShapeProto['dim'][number]): Dim => {
  if (dim.value.case === 'dimParam') return dim.value.value === '' ? null : dim.value.value;
  if (dim.value.case !== 'dimValue') return null;
  const size = Number(dim.value.value);
  return Number.isSafeInteger(size) && size >= 0 ? size : null;
};

const decodeShape = (shape: TensorShapeProto | undefined): Shape | undefined => shape?.dim.map(decodeDim);

/**
 * The type that a TypeProto states; undefined where it states none that the IR models (opaque types). Element types of
 * later IR versions and negative dimensions read as unknown.
 */
export const decodeType = (type: TypeProto | undefined): ValueType | undefined => {
  switch (type?.value.case) {
    case 'tensorType': {
      const { elemType, shape } = type.value.value;
      return { kind: 'tensor', dtype: dataTypeOf(elemType), shape: decodeShape(shape) };
    }
    case 'sparseTensorType': {
      const { elemType, shape } = type.value.value;
      return { kind: 'sparse-tensor', dtype: dataTypeOf(elemType), shape: decodeShape(shape) };
    }
    case 'sequenceType': {
      const element = decodeType(type.value.value.elemType);
      return element && { kind: 'sequence', element };
    }
    case 'optionalType': {
      const element = decodeType(type.value.value.elemType);
      return element && { kind: 'optional', element };
    }
    case 'mapType': {
      const key = dataTypeOf(type.value.value.keyType);
      const value = decodeType(type.value.value.valueType);
      return key && value && { kind: 'map', key, value };
    }
    default:
      return undefined;
  }
};

const encodeShape = (shape: Shape): TensorShapeProto =>
  create(TensorShapeProtoSchema, {
    dim: shape.map((dim) =>
      create(TensorShapeProto_DimensionSchema, {
        value:
          dim === null
            ? { case: undefined }
            : typeof dim === 'number'
              ? { case: 'dimValue', value: BigInt(dim) }
              : { case: 'dimParam', value: dim },
      }),
    ),
  });

const encodeArray = (type: { readonly dtype: DataType | undefined; readonly shape: Shape | undefined }) => ({
  ...(type.dtype ? { elemType: dataTypes[type.dtype].onnx } : {}),
  ...(type.shape ? { shape: encodeShape(type.shape) } : {}),
});

const encodeType = (type: ValueType): TypeProto => {
  switch (type.kind) {
    case 'tensor':
      return create(TypeProtoSchema, { value: { case: 'tensorType', value: encodeArray(type) } });
    case 'sparse-tensor':
      return create(TypeProtoSchema, { value: { case: 'sparseTensorType', value: encodeArray(type) } });
    case 'sequence':
      return create(TypeProtoSchema, {
        value: { case: 'sequenceType', value: { elemType: encodeType(type.element) } },
      });
    case 'optional':
      return create(TypeProtoSchema, {
        value: { case: 'optionalType', value: { elemType: encodeType(type.element) } },
      });
    case 'map':
      return create(TypeProtoSchema, {
        value: { case: 'mapType', value: { keyType: dataTypes[type.key].onnx, valueType: encodeType(type.value) } },
      });
  }
};

/** Equality of messages that looks at unknown fields too. */
export const exactly = { unknown: true, registry: createRegistry() };

const sameMessage = (a: TypeProto, b: TypeProto): boolean => equals(TypeProtoSchema, a, b, exactly);

/** Whether the IR would write this type as it is: no denotations, unknown fields or types that it does not model. */
export const isUsualType = (type: TypeProto): boolean => {
  const decoded = decodeType(type);
  return decoded !== undefined && sameMessage(encodeType(decoded), type);
};

export const sameType = (a: ValueType | undefined, b: ValueType | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && sameMessage(encodeType(a), encodeType(b)));

/** The type to write: the `unusual` one of the file while it still says the same. */
export const typeFor = (type: ValueType | undefined, unusual: TypeProto | undefined): TypeProto | undefined => {
  if (unusual && sameType(decodeType(unusual), type)) return unusual;
  return type && encodeType(type);
};
