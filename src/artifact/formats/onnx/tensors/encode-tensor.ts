import { dataTypes } from '../../../../ir/data-type.ts';
import type { StringTensor, Tensor } from '../../../../ir/tensor.ts';
import type { TensorFacts } from '../facts.ts';
import { type TensorProto, TensorProto_DataLocation, TensorProtoSchema } from '../generated/onnx_pb.ts';
import { encodeEntries } from '../metadata.ts';
import { startFrom } from '../residue.ts';
import { type Payload, payloadBytes, payloadFields } from '../wire/payload.ts';
import { varintBytes } from './varints.ts';

/** A TensorProto whose elements are still to be written: `field` of the message, `byteLength` bytes. */
export interface EncodedTensor {
  readonly header: TensorProto;
  readonly body:
    | { readonly field: number; readonly byteLength: number; bytes(): Uint8Array; readonly tensor: Tensor }
    | undefined;
}

const isStrings = (tensor: Tensor): tensor is StringTensor => tensor.kind === 'strings';

const bodyOf = (tensor: Tensor, payload: Payload | undefined): NonNullable<EncodedTensor['body']> =>
  payload
    ? { field: payload.field, byteLength: payload.byteLength, bytes: () => payloadBytes(payload), tensor }
    : { field: payloadFields.rawData, byteLength: tensor.byteLength, bytes: () => tensor.bytes(), tensor };

const headerOf = (name: string | undefined, tensor: Tensor, facts: TensorFacts | undefined): TensorProto => {
  const header = startFrom(TensorProtoSchema, facts?.residue);
  header.dims = tensor.shape.map(BigInt);
  header.dataType = dataTypes[tensor.dtype].onnx;
  if (name !== undefined) header.name = name;
  return header;
};

/** A tensor that holds its own elements, in the form that its file had while it is the same tensor. */
export const encodeTensor = (
  name: string | undefined,
  tensor: Tensor,
  facts: TensorFacts | undefined,
): EncodedTensor => {
  const header = headerOf(name, tensor, facts);
  header.externalData = [];
  if (isStrings(tensor)) {
    header.stringData = [...tensor.strings];
    return { header, body: undefined };
  }
  const stored = facts?.stored?.tensor === tensor ? facts.stored : undefined;
  if (stored && !stored.payload) return { header, body: undefined };
  return { header, body: bodyOf(tensor, stored?.payload) };
};

/** A tensor whose elements are in another file. */
export const encodeExternalTensor = (
  name: string,
  tensor: Tensor,
  facts: TensorFacts | undefined,
  place: { readonly location: string; readonly offset: number },
): TensorProto => {
  const header = headerOf(name, tensor, facts);
  const entries = { location: place.location, offset: String(place.offset), length: String(tensor.byteLength) };
  header.externalData = [...encodeEntries(new Map(Object.entries(entries))), ...header.externalData];
  header.dataLocation = TensorProto_DataLocation.EXTERNAL;
  return header;
};

/** A whole TensorProto in memory, for attributes. */
export const encodeInlineTensor = (
  name: string | undefined,
  tensor: Tensor,
  facts: TensorFacts | undefined,
): TensorProto => {
  const { header, body } = encodeTensor(name, tensor, facts);
  if (!body) return header;
  const bytes = body.bytes();
  if (body.field === payloadFields.rawData) header.rawData = bytes;
  else {
    const prefix = varintBytes(bytes.byteLength);
    const data = new Uint8Array(prefix.byteLength + bytes.byteLength);
    data.set(prefix);
    data.set(bytes, prefix.byteLength);
    header.$unknown = [...(header.$unknown ?? []), { no: body.field, wireType: 2, data }];
  }
  return header;
};
