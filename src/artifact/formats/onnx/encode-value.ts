import type { Value } from '../../../ir/graph.ts';
import { factsOf, type ValueFacts } from './facts.ts';
import { type ValueInfoProto, ValueInfoProtoSchema } from './generated/onnx_pb.ts';
import { entriesFor } from './metadata.ts';
import { startFrom } from './residue.ts';
import { typeFor } from './types.ts';

/** The ValueInfoProto of a value. */
export const encodeValueInfo = (value: Value): ValueInfoProto => {
  const { info } = factsOf<ValueFacts>(value.carried);
  const proto = startFrom(ValueInfoProtoSchema, info);
  proto.name = value.name;
  const type = typeFor(value.type, info?.type);
  if (type) proto.type = type;
  else delete proto.type;
  if (value.docString !== '') proto.docString = value.docString;
  proto.metadataProps = entriesFor(value.metadata, info?.metadataProps);
  return proto;
};
