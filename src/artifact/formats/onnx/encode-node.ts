import { internalError } from '../../../errors.ts';
import type { Attribute, Graph, Node, Value } from '../../../ir/graph.ts';
import { type AttributeFacts, factsOf, type NodeFacts, type TensorFacts } from './facts.ts';
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  type GraphProto,
  type NodeProto,
  NodeProtoSchema,
} from './generated/onnx_pb.ts';
import { entriesFor } from './metadata.ts';
import { startFrom } from './residue.ts';
import { encodeInlineTensor } from './tensors/encode-tensor.ts';
import { varintBytes } from './tensors/varints.ts';
import { typeFor } from './types.ts';

const attributeTypes = {
  int: AttributeType.INT,
  float: AttributeType.FLOAT,
  string: AttributeType.STRING,
  tensor: AttributeType.TENSOR,
  graph: AttributeType.GRAPH,
  type: AttributeType.TYPE_PROTO,
  ints: AttributeType.INTS,
  floats: AttributeType.FLOATS,
  strings: AttributeType.STRINGS,
  tensors: AttributeType.TENSORS,
  graphs: AttributeType.GRAPHS,
} as const;

const largestInteger = 2n ** 63n - 1n;
const smallestInteger = -(2n ** 63n);

/** An int64; numbers beyond its range (open ends of slices, rounded) become its ends. */
const integer = (value: number, name: string): bigint => {
  if (!Number.isInteger(value)) throw internalError(`attribute ${name} is ${value}, which is no integer`);
  const exact = BigInt(value);
  return exact > largestInteger ? largestInteger : exact < smallestInteger ? smallestInteger : exact;
};

/** Floats whose bits must not change are written as the field's bytes. */
const setFloatBits = (proto: AttributeProto, field: 'f' | 'floats', bits: Uint8Array): void => {
  const prefix = field === 'f' ? new Uint8Array(0) : varintBytes(bits.byteLength);
  const data = new Uint8Array(prefix.byteLength + bits.byteLength);
  data.set(prefix);
  data.set(bits, prefix.byteLength);
  const unknown = field === 'f' ? { no: 2, wireType: 5, data } : { no: 7, wireType: 2, data };
  proto.$unknown = [...(proto.$unknown ?? []), unknown];
};

const setContent = (
  proto: AttributeProto,
  attribute: Attribute,
  facts: AttributeFacts | undefined,
  encodeBody: (graph: Graph) => GraphProto,
): void => {
  const exact = facts?.exact?.attribute === attribute ? facts.exact : undefined;
  switch (attribute.kind) {
    case 'int':
      proto.i = exact?.integers?.[0] ?? integer(attribute.value, proto.name);
      break;
    case 'ints':
      proto.ints = exact?.integers ? [...exact.integers] : attribute.value.map((value) => integer(value, proto.name));
      break;
    case 'float':
      if (exact?.floats) setFloatBits(proto, 'f', exact.floats);
      else proto.f = Math.fround(attribute.value);
      break;
    case 'floats':
      if (exact?.floats) setFloatBits(proto, 'floats', exact.floats);
      else proto.floats = attribute.value.map(Math.fround);
      break;
    case 'string':
      proto.s = attribute.value;
      break;
    case 'strings':
      proto.strings = [...attribute.value];
      break;
    case 'tensor':
      proto.t = encodeInlineTensor(attribute.name, attribute.value, factsOf<TensorFacts>(attribute.carried));
      break;
    case 'tensors': {
      const facts = (attribute.carried?.onnx ?? []) as readonly (TensorFacts & { readonly name?: string })[];
      proto.tensors = attribute.value.map((tensor, index) =>
        encodeInlineTensor(facts[index]?.name, tensor, facts[index]),
      );
      break;
    }
    case 'graph':
      proto.g = encodeBody(attribute.value);
      break;
    case 'graphs':
      proto.graphs = attribute.value.map(encodeBody);
      break;
    case 'type': {
      const type = typeFor(attribute.value, facts?.residue?.tp);
      if (type) proto.tp = type;
      break;
    }
  }
};

const encodeAttribute = (
  name: string,
  attribute: Attribute,
  known: AttributeFacts | undefined,
  encodeBody: (graph: Graph) => GraphProto,
): AttributeProto => {
  if (attribute.kind === 'carried') {
    const proto = attribute.value.onnx;
    if (!proto) throw internalError(`attribute ${name} has no ONNX form`);
    return proto as AttributeProto;
  }
  const facts = known?.kind === attribute.kind ? known : undefined;
  const proto = startFrom(AttributeProtoSchema, facts?.residue);
  proto.name = name;
  if (attribute.kind === 'reference') {
    proto.refAttrName = attribute.value;
    return proto;
  }
  if (!facts?.leavesOut?.includes('type')) proto.type = attributeTypes[attribute.kind];
  const isLeftOut =
    facts?.leavesOut?.includes('content') &&
    ((attribute.kind === 'string' && attribute.value.byteLength === 0) || Object.is(attribute.value, 0));
  if (!isLeftOut) setContent(proto, attribute, facts, encodeBody);
  return proto;
};

const nameOf = (value: Value | undefined): string => value?.name ?? '';

export const encodeNode = (node: Node, encodeBody: (graph: Graph) => GraphProto): NodeProto => {
  const { residue, attributes } = factsOf<NodeFacts>(node.carried);
  const proto = startFrom(NodeProtoSchema, residue);
  proto.input = node.inputs.map(nameOf);
  proto.output = node.outputs.map(nameOf);
  proto.opType = node.op;
  if (node.name !== '') proto.name = node.name;
  if (node.domain !== '') proto.domain = node.domain;
  if (node.overload !== '') proto.overload = node.overload;
  if (node.docString !== '') proto.docString = node.docString;
  proto.attribute = [...node.attributes].map(([name, attribute]) =>
    encodeAttribute(name, attribute, attributes?.get(name), encodeBody),
  );
  proto.metadataProps = entriesFor(node.metadata, residue?.metadataProps);
  return proto;
};
