import { CompressError, type Where } from '../../../../errors.ts';
import { byteLengthOf, type DataType, dataTypes } from '../../../../ir/data-type.ts';
import { elementCount } from '../../../../ir/shape.ts';
import { FileTensor, MemoryTensor, StringTensor, type Tensor } from '../../../../ir/tensor.ts';
import type { ExternalFiles, ExternalPlace } from '../external-files.ts';
import type { TensorFacts } from '../facts.ts';
import { type TensorProto, TensorProto_DataLocation, TensorProtoSchema } from '../generated/onnx_pb.ts';
import { areUsualEntries, decodeEntries } from '../metadata.ts';
import { residueOf } from '../residue.ts';
import { dataTypeOf } from '../types.ts';
import { type Payload, payloadBytes, payloadFields } from '../wire/payload.ts';
import type { SideTable } from '../wire/read-message.ts';
import { bytesOfVarints } from './varints.ts';

/** What tensors of one file need: its name for messages, payloads read aside, and the files beside it. */
export interface TensorContext {
  readonly file: string | undefined;
  readonly side: SideTable;
  readonly external: ExternalFiles;
}

/** Typed lists and the element types that each may hold. */
const listTypes: ReadonlyMap<number, readonly DataType[]> = new Map<number, readonly DataType[]>([
  [payloadFields.floatData, ['float32', 'complex64']],
  [payloadFields.doubleData, ['float64', 'complex128']],
  [payloadFields.int64Data, ['int64']],
  [payloadFields.uint64Data, ['uint32', 'uint64']],
  [
    payloadFields.int32Data,
    (Object.keys(dataTypes) as DataType[]).filter(
      (dtype) =>
        !['float32', 'float64', 'complex64', 'complex128', 'int64', 'uint32', 'uint64', 'string'].includes(dtype),
    ),
  ],
]);

const varintFields: readonly number[] = [payloadFields.int32Data, payloadFields.int64Data, payloadFields.uint64Data];

/** A decoded TensorProto: the tensor and what the IR does not model of it. */
export interface DecodedTensor {
  readonly name: string;
  readonly tensor: Tensor;
  readonly facts: TensorFacts;
}

export const decodeTensor = (proto: TensorProto, context: TensorContext): DecodedTensor => {
  const { name } = proto;
  const payload = context.side.payloads.get(proto);
  const where: Where = {
    ...(context.file === undefined ? {} : { file: context.file }),
    tensor: name || '(without name)',
    ...(payload ? { byteOffset: payload.byteOffset } : {}),
  };
  const malformed = (message: string): CompressError => new CompressError({ code: 'malformed', message, where });
  const dtype = dataTypeOf(proto.dataType);
  if (!dtype)
    throw new CompressError({
      code: Object.hasOwn(proto, 'dataType') && proto.dataType !== 0 ? 'unsupported' : 'malformed',
      message: `element type ${proto.dataType} is not one that this version knows`,
      where,
    });
  const shape = staticShape(proto.dims, malformed);
  const count = elementCount(shape);
  const byteLength = byteLengthOf(dtype, count);
  if (!Number.isSafeInteger(count) || !Number.isSafeInteger(byteLength))
    throw new CompressError({
      code: 'unsafe',
      message: `shape [${shape.join(', ')}] has more elements than can be counted`,
      where,
    });
  const isExternal = proto.dataLocation === TensorProto_DataLocation.EXTERNAL;
  const residue = residueOf(TensorProtoSchema, proto, {
    taken: ['dims', 'dataType', 'stringData'],
    optional: ['name', 'externalData', 'dataLocation'],
    unusual: {
      externalData: proto.externalData.filter((entry) => !['location', 'offset', 'length'].includes(entry.key)),
    },
  });
  const facts: TensorFacts = residue ? { residue } : {};

  if (isExternal) {
    if (payload && payload.byteLength > 0) throw malformed('elements are given both in the file and as external data');
    if (dtype === 'string') throw malformed('strings cannot be external data');
    if (!areUsualEntries(proto.externalData))
      throw malformed('external_data has a key twice or an entry without key or value');
    return { name, facts, tensor: context.external.tensor(name, dtype, shape, byteLength, placeOf(proto, malformed)) };
  }
  if (dtype === 'string') {
    if (payload) throw malformed('a string tensor holds numbers');
    if (proto.stringData.length !== count)
      throw malformed(
        `a string tensor [${shape.join(', ')}] needs ${count} strings but has ${proto.stringData.length}`,
      );
    return { name, facts, tensor: new StringTensor(shape, proto.stringData) };
  }
  if (proto.stringData.length > 0) throw malformed(`a ${dtype} tensor holds strings`);
  if (!payload) {
    if (count !== 0) throw malformed(`a ${dtype} tensor [${shape.join(', ')}] has no elements in the file`);
    const tensor = new MemoryTensor(dtype, shape, new Uint8Array(0));
    return { name, tensor, facts: { ...facts, stored: { tensor, payload: undefined } } };
  }
  const tensor = tensorOfPayload(dtype, shape, byteLength, payload, malformed);
  return payload.field === payloadFields.rawData
    ? { name, tensor, facts }
    : { name, tensor, facts: { ...facts, stored: { tensor, payload } } };
};

const tensorOfPayload = (
  dtype: DataType,
  shape: readonly number[],
  byteLength: number,
  payload: Payload,
  malformed: (message: string) => CompressError,
): Tensor => {
  const allowed = listTypes.get(payload.field);
  if (allowed && !allowed.includes(dtype))
    throw malformed(`a ${dtype} tensor holds its elements in a list of another type`);
  if (varintFields.includes(payload.field)) {
    const entriesAtLeast = Math.floor(payload.byteLength / 10);
    const bytes = elementCount(shape) < entriesAtLeast ? undefined : listBytes(payload, dtype, shape);
    if (!bytes)
      throw malformed(`a ${dtype} tensor [${shape.join(', ')}] has another number of elements than its shape asks for`);
    return new MemoryTensor(dtype, shape, bytes);
  }
  if (payload.byteLength !== byteLength)
    throw malformed(`a ${dtype} tensor [${shape.join(', ')}] needs ${byteLength} bytes but has ${payload.byteLength}`);
  return payload.place.kind === 'file'
    ? new FileTensor(dtype, shape, payload.place.path, payload.byteOffset)
    : new MemoryTensor(dtype, shape, payload.place.bytes);
};

/** No list is longer than its bytes, so a shape that asks for more is refused before anything is allocated. */
const listBytes = (payload: Payload, dtype: DataType, shape: readonly number[]): Uint8Array | undefined => {
  const packing = byteLengthOf(dtype, 8) < 6 ? 8 / byteLengthOf(dtype, 8) : 1;
  if (elementCount(shape) > payload.byteLength * packing) return undefined;
  return bytesOfVarints(payloadBytes(payload), dtype, elementCount(shape));
};

const staticShape = (dims: readonly bigint[], malformed: (message: string) => CompressError): number[] =>
  dims.map((dim) => {
    const size = Number(dim);
    if (dim < 0n || !Number.isSafeInteger(size)) throw malformed(`[${dims.join(', ')}] is no shape`);
    return size;
  });

const placeOf = (proto: TensorProto, malformed: (message: string) => CompressError): ExternalPlace => {
  const entries = decodeEntries(proto.externalData);
  const bytes = (key: string): number | undefined => {
    const text = entries.get(key);
    if (text === undefined) return undefined;
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value)) throw malformed(`external data ${key} "${text}" is no number of bytes`);
    return value;
  };
  const location = entries.get('location');
  if (location === undefined) throw malformed('external data has no location');
  return { location, offset: bytes('offset') ?? 0, length: bytes('length') };
};
